"""Raw bytes to the model, or an error that points at the file, the line and the word.

Knows formats, not meaning: what an option means is in ``netfilter``, what a trace is in ``evaluate``.
"""
