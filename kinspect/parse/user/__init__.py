"""What a user gives: targets, packets as expressions or captures, policy files."""
