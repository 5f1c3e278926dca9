"""Packet and rules to a trace; pure: no files, no clock, no network.

``walk`` goes through the chains of one table's hook, ``path`` through hooks and tables in the
kernel's order, ``summary`` to the outcomes.
"""
