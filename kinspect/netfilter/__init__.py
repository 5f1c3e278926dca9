"""What netfilter's extensions mean: one module per match or target, found by a table of names.

Knows the kernel's semantics of packets and rules, and nothing of Kubernetes, files or screens.
"""
