"""The only code that talks to the outside: the Kubernetes API and the nodes.

Two small ports (``ports``): a ``ClusterApi`` lists kinds, a ``NodeShell`` brings a node's files.
The results are bytes, unchanged; nothing here knows what rules mean.
"""
