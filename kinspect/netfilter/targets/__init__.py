"""The targets of netfilter, one module an extension."""
