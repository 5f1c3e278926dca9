"""How long a connection has had no packet: its protocol's timeout less what is left of it.

Each packet resets an entry's time to the timeout of its state
(net/netfilter/nf_conntrack_proto_tcp.c, …_udp.c, …_sctp.c). The timeouts are sysctls of the node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kinspect.model.flows import Tracked

_PREFIX: Final = "net.netfilter.nf_conntrack_"
# A TCP connection with unacknowledged data gets this time at most, whatever its state: it may have had
# a packet just now. Linux's defaults if they were not read.
_SHORTER: Final = {"tcp_timeout_unacknowledged": 300, "tcp_timeout_max_retrans": 300}


def idle_seconds(entry: Tracked, sysctl: Callable[[str], str | None]) -> int | None:
    """Seconds since the last packet; None if that is not known."""
    whole = _seconds(sysctl, _timeout_name(entry))
    if whole is None or entry.timeout is None or entry.timeout > whole:
        return None
    if entry.protocol == "tcp" and entry.state != "TIME_WAIT":
        shorter = [_seconds(sysctl, name) or usual for name, usual in _SHORTER.items()]
        shorter = [seconds for seconds in shorter if seconds < whole]
        if shorter and entry.timeout <= max(shorter):
            return None
    return whole - entry.timeout


def _timeout_name(entry: Tracked) -> str:
    """The sysctl that has the timeout of an entry's state."""
    if entry.state is not None:
        return f"{entry.protocol}_timeout_{entry.state.lower()}"
    if entry.protocol in ("udp", "gre"):
        return f"{entry.protocol}_timeout{'_stream' if entry.assured else ''}"
    return f"{entry.protocol}_timeout"


def _seconds(sysctl: Callable[[str], str | None], name: str) -> int | None:
    text = sysctl(_PREFIX + name)
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
