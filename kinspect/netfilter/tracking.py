"""What connection tracking makes of a packet, and which rules turn it on.

Sources: nf_conntrack_proto_tcp.c (tcp_valid_flags, the column of TCP_CONNTRACK_NONE),
nf_conntrack_proto_icmp.c and nf_conntrack_proto_icmpv6.c (valid_new, noct_valid_new), and the
``nf_ct_netns_get`` of the extensions (xt_*.c): without one of those no packet has a connection.
"""

from __future__ import annotations

import re
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import ICMP, ICMPV6, TCP, CtState, Packet, TcpFlag
from kinspect.model.rules import Ruleset

_F, _S, _R, _A, _U = TcpFlag.FIN, TcpFlag.SYN, TcpFlag.RST, TcpFlag.ACK, TcpFlag.URG
# Of the flags but PSH: those that connection tracking takes for no attack, and that begin a connection.
_OPENING: Final = frozenset({_S, _S | _U})
_PICKED_UP: Final = frozenset({_A, _A | _U})

_ICMP_REQUESTS: Final = frozenset({8, 13, 15, 17})  # echo, timestamp, information, address mask
_ICMPV6_REQUESTS: Final = frozenset({128, 139})  # echo, node information
# Multicast listeners, routers and neighbours are not tracked.
_ICMPV6_UNTRACKED: Final = frozenset({130, 131, 132, 133, 134, 135, 136, 143})

_LOOSE: Final = "net.netfilter.nf_conntrack_tcp_loose"

# Words of rules that turn connection tracking on for the family. Not so NOTRACK and CT --notrack.
_USERS: Final = re.compile(
    r" (?:-j (?:MASQUERADE|DNAT|SNAT|REDIRECT|NETMAP|CONNMARK|CONNSECMARK|SYNPROXY|CLUSTERIP)"
    r"|-j CT(?! --notrack)"
    r"|-m (?:conntrack|state|connmark|connbytes|connlimit|connlabel|helper|cluster))\b"
)


_TRANSLATORS: Final = re.compile(r" -j (?:MASQUERADE|DNAT|SNAT|REDIRECT|NETMAP)\b")


def first_state(packet: Packet, host: Host) -> CtState:
    """The state of a packet that belongs to no connection yet.

    An ICMP error that is about a connection is RELATED; here it is about none, so INVALID.
    """
    if packet.fragment:
        return CtState.NEW
    if packet.protocol == (ICMPV6 if packet.family == 4 else ICMP):
        return CtState.INVALID  # the other family's control messages
    kind = packet.icmp_type
    if packet.protocol == ICMPV6 and kind in _ICMPV6_UNTRACKED:
        return CtState.UNTRACKED
    if packet.protocol in (ICMP, ICMPV6) and kind is not None:
        requests = _ICMP_REQUESTS if packet.protocol == ICMP else _ICMPV6_REQUESTS
        return CtState.NEW if kind in requests else CtState.INVALID
    if packet.protocol == TCP and packet.tcp_flags is not None:
        return _tcp_state(packet.tcp_flags, host)
    return CtState.NEW


def _tcp_state(flags: TcpFlag, host: Host) -> CtState:
    shown = flags & ~TcpFlag.PSH
    if shown in _OPENING:
        return CtState.NEW
    # The middle of a connection that began before tracking did is taken up, unless that is forbidden.
    taken_up = shown in _PICKED_UP and host.sysctl(_LOOSE) != "0"
    return CtState.NEW if taken_up else CtState.INVALID


def translates(rules: Ruleset) -> bool:
    """Whether a rule of these rewrites addresses of connections; of a part of a dump it may always be so."""
    return not rules.complete or rules.asks(_TRANSLATORS)


def tracks(rules: Ruleset) -> bool:
    """Whether a rule of these turns connection tracking on, wherever it stands."""
    return rules.asks(_USERS)
