"""The targets of netfilter, one module per extension."""
