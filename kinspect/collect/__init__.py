"""The only code that touches the outside: the Kubernetes API and the nodes.

Two small ports (``ports``): a ``ClusterApi`` lists kinds, a ``NodeShell`` brings a node's files.
What comes back is bytes, kept as they came; nothing here knows what rules mean.
"""
