"""Connections of nodes' tables as connections to services: pure, from plain data to plain data.

Beside ``evaluate``, which says where a packet would go; this package says where packets already
go. It judges nothing: that is ``checks``' task.
"""
