"""kinspect shows where a packet to a Kubernetes Service really goes, and with what probability.

Data flows one way: ``collect`` → ``snapshot`` → ``parse`` → ``evaluate`` → ``report``.
``pipeline`` alone knows that order; ``cli`` alone prints and exits.
"""

__version__ = "0.1.0"
