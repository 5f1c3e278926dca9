"""Plain frozen data that all stages share: packets, odds, rules, traces, services.

It does not know where data came from or how it will be shown.
"""
