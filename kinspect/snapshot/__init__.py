"""The files of a snapshot, byte for byte, from a folder or an archive.

Knows the names of files and how to read them, but not what they mean.
"""
