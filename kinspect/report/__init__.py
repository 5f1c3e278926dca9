"""The model to text, without decisions: tables, trees, JSON, captures. ``words`` has all wording.

All text of a cluster is hostile: it reaches a screen only through ``safe``.
"""
