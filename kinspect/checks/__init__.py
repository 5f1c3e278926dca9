"""What is worth saying about a cluster's service paths, one module a kind of check.

Pure: from the model to findings and remarks, without wording. Knows kube-proxy and connections, not how
rules are read or packets are followed.
"""
