"""What-if answers: in words, as a table, as a document."""
