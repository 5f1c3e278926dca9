"""Connections of nodes' tables as connections to services: pure, from plain data to plain data.

Beside ``evaluate``, which says where a packet would go; here it is what went there already. It
judges nothing: what may not be is ``checks``' business.
"""
