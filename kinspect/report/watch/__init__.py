"""Readings of ``kinspect watch``, in each format."""
