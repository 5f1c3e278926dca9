"""Rules to the model: dumps of iptables-save, scripts, fragments and listings of ``iptables -L``."""
