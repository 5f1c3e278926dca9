"""How rules and states differ: as a table, as a document."""
