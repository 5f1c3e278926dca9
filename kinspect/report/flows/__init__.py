"""Connections: as a table, as a document."""
