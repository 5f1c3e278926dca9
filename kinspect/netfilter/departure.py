"""Where a packet goes that this host has made (ip_route_output_key, __mkroute_output; ip6_route_output)."""

from __future__ import annotations

from functools import partial
from typing import TypeAlias

from kinspect.model.host import Host
from kinspect.model.packet import Address, Packet
from kinspect.netfilter.arrival import EVERYBODY, NOBODY, Refused, route_localnet
from kinspect.netfilter.routing import ERRORS, Flow, Hop, next_hop
from kinspect.netfilter.unknowns import Facts, Fork, explored

Departure: TypeAlias = "Hop | Refused"


def departure(packet: Packet, host: Host) -> Departure | Fork[Departure]:
    """The next hop; of type local or anycast: back to this host by lo."""
    return explored(partial(_departure, packet, host))


def copied(packet: Packet, hop: Hop) -> bool:
    """Whether the host takes a copy of what it sends out there: it may be one of many receivers."""
    return hop.type in ("broadcast", "multicast") or packet.dst.is_multicast


def _departure(packet: Packet, host: Host, facts: Facts) -> Departure:
    src, dst = packet.src, packet.dst
    if dst == NOBODY:
        return Hop("local", "lo")
    if packet.family == 4 and (dst.is_multicast or dst == EVERYBODY):
        own = _interface_of(src, host)
        if own is not None:  # its source says by which interface, whatever the routes say
            return Hop("multicast" if dst.is_multicast else "broadcast", own)
    hop = next_hop(Flow.of(packet), host, facts)
    if hop.type in ERRORS:
        return Refused(f"no way to {dst}: {hop.type}", answered=True)
    if hop.type in ("local", "anycast"):
        return hop
    leaves = hop.dev == "lo" or packet.family == 6 or not src.is_loopback
    if not leaves and not route_localnet(hop.dev, host, facts):
        return Refused(f"a packet from {src} does not leave: route_localnet is 0")
    return hop


def _interface_of(src: Address, host: Host) -> str | None:
    """The interface that has an address."""
    for link in (host.links or {}).values():
        if any(own.address == src for own in link.addresses):
            return link.name
    return None
