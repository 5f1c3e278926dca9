"""Plain frozen data that every stage shares: packets, odds, rules, traces, services.

Knows nothing of where data came from or how it will be shown.
"""
