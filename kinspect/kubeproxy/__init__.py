"""What kube-proxy writes, and what it means by it: chain names, comments, endpoints of a service port.

Knows the model only: neither how rules are read nor how packets are followed. Sources are named per
fact; most are ``pkg/proxy`` of Kubernetes.
"""
