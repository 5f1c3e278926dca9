"""What was captured, byte for byte: the files of a snapshot, wherever they are kept.

Knows names of files and how to read them from a folder or an archive; not what they mean.
"""
