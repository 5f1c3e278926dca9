"""Which packets to send to a service, and what becomes of them at a node."""
