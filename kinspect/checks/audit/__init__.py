"""What is wrong with a cluster's service paths: one file per family of findings, each with a stable code.

A file has its ``FindingKind``s, with the text of ``kinspect explain``, and a function from facts to
observations; ``catalogue`` is the table of all. KI1xx are found by following traffic, KI2xx in what
a node is, KI3xx in its rules.
"""
