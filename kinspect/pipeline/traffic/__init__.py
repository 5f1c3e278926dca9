"""Which packets to send to a service, and what happens to them at a node."""
