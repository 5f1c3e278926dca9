"""Benchmarks: they print ratios and hold nothing to wall time."""
