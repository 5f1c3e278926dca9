"""``--redact``: a capture that can be shown to others and gives the same traces as the original.

Addresses are permuted so that networks keep their members, and names are replaced, both with a key that
is new for each capture and not kept. Of documents and files, only known parts are kept.
"""
