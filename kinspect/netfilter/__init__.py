"""What netfilter's extensions mean: one module a match or a target, found by a table of names.

Knows the kernel's semantics of packets and rules; nothing of Kubernetes, files or screens.
"""
