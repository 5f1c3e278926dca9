"""``--redact``: a capture that can be shown to strangers, whose traces are as the first one's.

Addresses are permuted so that networks hold what they held, names are replaced, both by a key made
anew for each capture and kept nowhere. Of documents and files only what is known is kept.
"""
