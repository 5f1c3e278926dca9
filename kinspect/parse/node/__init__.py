"""Files that were read from a node to the model: addresses, routes, ipsets, the state as a whole."""
