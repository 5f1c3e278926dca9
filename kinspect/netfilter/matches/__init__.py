"""The matches of netfilter, one module per extension."""
