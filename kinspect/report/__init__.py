"""The model to text, without decisions: tables, trees, JSON, captures. ``words`` has all wording.

All text of a cluster is hostile: ``safe`` is the one way by which it comes to a screen.
"""
