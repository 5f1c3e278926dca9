"""Packets that stay on a bridge: from one port to another, as frames (net/bridge/br_netfilter_hooks.c).

iptables sees them only where br_netfilter hands them over (net.bridge.bridge-nf-call-iptables). They
are not routed, so they keep their hop limit.
"""

from __future__ import annotations

from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, certain, undecided
from kinspect.model.packet import Packet
from kinspect.netfilter.routing import Hop, route
from kinspect.netfilter.unknowns import the_same

BRIDGED: Final = undecided("bridge-port", "the packet stays on its bridge, going from one port to another")


def called(packet: Packet, host: Host) -> Odds:
    """Whether iptables sees the packets on the bridge that this one came in by."""
    link = (host.links or {}).get(packet.iif or "")
    if link is not None and link.calls_iptables:
        return ALWAYS
    switch = f"net.bridge.bridge-nf-call-{'iptables' if packet.family == 4 else 'ip6tables'}"
    value = host.sysctl(switch)
    return undecided("switch", f"{switch} is 1") if value is None else certain(value != "0")


def by_bridge(packet: Packet, host: Host) -> Odds:
    """Whether it came in by a port of a bridge."""
    if packet.local or packet.iif == "lo":
        return NEVER
    if packet.physdev_in is not None:
        return ALWAYS
    if packet.iif is None:
        return undecided("bridge-port", "the packet comes in by a port of a bridge")
    known = host.is_bridge(packet.iif)
    return undecided("bridge-port", f"{packet.iif} is a bridge") if known is None else certain(known)


def stays(packet: Packet, host: Host) -> list[Odds]:
    """What all must hold for a packet to stay on the bridge that it came in by; ``[NEVER]``: it does not.

    A host on a bridge sends to its neighbours directly, and to all others by a router. A packet for
    the router that nat sends back to the bridge stays on it, too, where iptables sees it there.
    """
    if packet.local or packet.iif in (None, "lo"):
        return [NEVER]
    if packet.physdev_out is not None:
        return [ALWAYS]
    bridge = by_bridge(packet, host)
    if bridge == NEVER or host.family_routes(packet.dst) is None:
        return [NEVER]
    decision = route(packet.dst, host, packet)
    hop = None if decision is None else the_same(decision, _itself)
    if not isinstance(hop, Hop) or hop.type != "unicast" or hop.dev != packet.iif:
        return [NEVER]
    if packet.dnat:
        return [bridge, called(packet, host)]
    if hop.gateway is not None:
        return [NEVER]
    return [bridge] if _neighbours(packet, host) else [bridge, BRIDGED]


def _itself(hop: Hop) -> Hop:
    return hop


def _neighbours(packet: Packet, host: Host) -> bool:
    """Whether sender and receiver are in one network of the bridge."""
    link = (host.links or {}).get(packet.iif or "")
    return link is not None and any(
        packet.src in own.network and packet.dst in own.network for own in link.addresses
    )
