"""The matches of netfilter, one module an extension."""
