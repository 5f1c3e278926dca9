"""What kube-proxy writes, and its meaning: chain names, comments, endpoints of a service port.

Knows only the model: neither how rules are read nor how packets are followed. Sources are named per
fact; most are ``pkg/proxy`` of Kubernetes.
"""
