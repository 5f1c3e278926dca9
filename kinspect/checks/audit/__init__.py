"""What is wrong with a cluster's service paths: a file a family of findings, each with a stable code.

A file has its ``Kind``s, with all that ``kinspect explain`` says of them, and a function from facts
to observations; ``kinds`` is the table of all. KI1xx are found by following traffic, KI2xx in what
a node is, KI3xx in its rules.
"""
