"""Files of a node to the model: addresses, routes, ipsets, the state as a whole."""
