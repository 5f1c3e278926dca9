"""Remarks and findings about a cluster's service paths, one module per kind of check.

Pure: from the model to findings and remarks, without wording.
"""
