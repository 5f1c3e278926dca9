"""What becomes of a packet that came in: to this host, on to a next hop, or refused.

Facts: ip_route_input_slow, fib_validate_source and ip_forward (net/ipv4); ip6_rcv_core, ip6_mc_input
and ip6_forward (net/ipv6). Source validation (rp_filter) is of IPv4 only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, TypeAlias

from kinspect.model.host import Host
from kinspect.model.packet import Address, Packet
from kinspect.netfilter.routing import ERRORS, Flow, Hop, look_up, next_hop, own_address_question
from kinspect.netfilter.unknowns import Facts, Fork, explored

NOBODY: Final = IPv4Address("0.0.0.0")  # noqa: S104 - no address to bind to, but one in a packet
EVERYBODY: Final = IPv4Address("255.255.255.255")
ALL_HOSTS: Final = IPv4Address("224.0.0.1")
ALL_NODES: Final = (IPv6Address("ff01::1"), IPv6Address("ff02::1"))
_TO_NEIGHBOURS: Final = IPv4Network("224.0.0.0/24")
_SOLICITED: Final = IPv6Network("ff02::1:ff00:0/104")
_IGMP: Final = 2

_DELIVERED: Final = ("local", "broadcast", "multicast", "anycast")


@dataclass(frozen=True, slots=True)
class Refused:
    """The kernel does not let the packet in, or not through; ``answered``: its sender is told, by ICMP."""

    why: str
    answered: bool = False


Arrival: TypeAlias = "Hop | Refused"
"""Where a packet that came in goes: a hop of a type that ``delivered`` names is this host itself."""


def delivered(hop: Hop) -> bool:
    """Whether the host takes the packet itself."""
    return hop.type in _DELIVERED


def arrival(packet: Packet, host: Host) -> Arrival | Fork[Arrival]:
    """What the kernel does with a packet behind PREROUTING: routing, validation of its source, hop limit."""
    way = _arrival_4 if packet.family == 4 else _arrival_6
    return explored(partial(way, packet, host))


def unfit(packet: Packet) -> str | None:
    """Why the kernel drops an IPv6 packet from a wire before any hook; None: it does not."""
    src, dst = packet.src, packet.dst
    if not isinstance(src, IPv6Address) or not isinstance(dst, IPv6Address) or packet.iif == "lo":
        return None
    if src.is_loopback or dst.is_loopback:
        return "::1 belongs to no wire"
    if src.is_multicast:
        return f"{src} is a group: nobody sends from it"
    if dst.is_multicast and dst.packed[1] & 0xF < 2:
        return f"{dst} belongs to no wire"
    return None


def _arrival_4(packet: Packet, host: Host, facts: Facts) -> Arrival:
    src, dst = packet.src, packet.dst
    if packet.iif == "lo":
        return _by_loopback(packet, host, facts)
    if dst.is_multicast:
        return _to_group_4(packet, host, facts)
    if src.is_multicast or src == EVERYBODY:
        return Refused(f"{src} is no address of a single host: nobody sends from it")
    if dst == EVERYBODY or src == dst == NOBODY:
        return _validated(Hop("broadcast", packet.iif), packet, host, facts)
    if NOBODY in (src, dst):
        return Refused(f"a packet from {src} to {dst} is a martian")
    if (why := _loopback_abroad(packet, host, facts)) is not None:
        return Refused(why)
    hop = next_hop(Flow.of(packet), host, facts)
    if hop.type in ("local", "broadcast"):
        return _validated(hop, packet, host, facts)
    if (why := _no_router(packet, host, facts)) is not None:
        return Refused(why)
    if hop.type in ERRORS:
        return _nowhere(packet, hop)
    if hop.type != "unicast":
        return Refused(f"{dst} is of type {hop.type} to this host: a martian")
    valid = _validated(hop, packet, host, facts)
    return valid if isinstance(valid, Refused) else _with_hops_left(packet, hop)


def _by_loopback(packet: Packet, host: Host, facts: Facts) -> Arrival:
    """What this host has sent to itself keeps the route that it was sent by."""
    hop = next_hop(Flow.of(packet), host, facts)
    return hop if delivered(hop) else Refused("by lo comes only what is for this host itself")


def _nowhere(packet: Packet, hop: Hop) -> Refused:
    return Refused(f"the route to {packet.dst} is {hop.type}", answered=hop.type != "blackhole")


def _with_hops_left(packet: Packet, hop: Hop) -> Arrival:
    if packet.ttl is not None and packet.ttl <= 1:
        field = "TTL" if packet.family == 4 else "hop limit"
        return Refused(f"its {field} is {packet.ttl}: it may not be forwarded", answered=True)
    return hop


def _to_group_4(packet: Packet, host: Host, facts: Facts) -> Arrival:
    src, dst = packet.src, packet.dst
    if not facts.holds("group-member", _member(dst, packet.iif), True if dst == ALL_HOSTS else None):
        return Refused(f"this host is no member of {dst}")
    if src.is_multicast or src == EVERYBODY:
        return Refused(f"{src} is no address of a single host: nobody sends from it")
    if src.is_loopback and not route_localnet(packet.iif, host, facts):
        return Refused(f"{src} came by {packet.iif or 'a wire'}: route_localnet is 0")
    hop = Hop("multicast", packet.iif)
    if src == NOBODY:
        near = dst in _TO_NEIGHBOURS or packet.protocol == _IGMP
        return hop if near else Refused(f"a packet from {src} to {dst} is a martian")
    return _validated(hop, packet, host, facts)


def _member(group: Address, iif: str | None) -> str:
    return f"this host is a member of {group} on {iif or 'the interface that the packet comes by'}"


def _loopback_abroad(packet: Packet, host: Host, facts: Facts) -> str | None:
    """Why a loopback address makes the packet a martian: it belongs to no wire."""
    for address in (packet.dst, packet.src):
        if address.is_loopback:
            if route_localnet(packet.iif, host, facts):
                return None
            return f"{address} came by {packet.iif or 'a wire'}: route_localnet is 0"
    return None


def route_localnet(dev: str | None, host: Host, facts: Facts) -> bool:
    """Whether 127.0.0.0/8 may go by a wire: route_localnet, of all interfaces or of this one."""
    known = host.either(dev, "route_localnet")
    return facts.holds("switch", f"net.ipv4.conf.{dev or 'all'}.route_localnet is 1", known)


def _no_router(packet: Packet, host: Host, facts: Facts) -> str | None:
    """Why this host forwards nothing of what comes in there; None: it forwards.

    net.ipv4.ip_forward sets the switch of each interface. That one counts, and may be set apart.
    """
    switch = f"net.ipv4.conf.{packet.iif}.forwarding"
    forwards = host.conf(packet.iif, "forwarding")
    if forwards is None:
        whole = host.sysctl("net.ipv4.ip_forward")
        if whole == "0":
            switch, forwards = "net.ipv4.ip_forward", 0
        elif whole is not None and _by_another_way(packet, host, facts):
            forwards = int(facts.holds("switch", f"{switch} is 1"))
    return f"this host does not forward: {switch} is 0" if forwards == 0 else None


def _by_another_way(packet: Packet, host: Host, facts: Facts) -> bool:
    """Whether a packet comes by another interface than the one that this host reaches its sender by.

    A node that did not forward by an interface in regular use would not work at all, but it may
    well be closed to what comes in elsewhere. Only asked where other switches of the interface
    were read, so that this one is missing among them.
    """
    if packet.iif is None or host.conf(packet.iif, "rp_filter") is None:
        return False
    found = look_up(Flow.of(packet).back(None, marked=False), host, facts)
    return found is None or found.route is None or packet.iif not in [way.dev for way in found.route.hops]


def _validated(hop: Hop, packet: Packet, host: Host, facts: Facts) -> Arrival:
    """The hop, unless the packet's source may not come in by its interface."""
    if packet.src == NOBODY and hop.type == "broadcast":
        return hop
    refused = source_refused(packet, hop, host, facts)
    return hop if refused is None else Refused(refused)


def source_refused(packet: Packet, hop: Hop, host: Host, facts: Facts) -> str | None:
    """Why source validation refuses an IPv4 packet, which is to go to this hop; None: it may come in.

    The kernel looks up the way back (fib_validate_source). Without routes, or where the interface is
    not known, the packet counts as one that came by the right one.
    """
    iif, src = packet.iif, packet.src
    if iif is None or host.family_routes(src) is None:
        return None
    ahead = hop.dev if hop.type == "unicast" else None
    strictness = _rp_filter(iif, host, facts)
    if strictness:
        return _no_way_back(packet, hop, ahead, strictness, host, facts)
    quick = _own_source(packet, host, facts)
    looked_up = _no_way_back(packet, hop, ahead, 0, host, facts)
    if quick == looked_up:
        return quick
    # The kernel only looks up the way back where it has a reason to.
    redirects = iif == ahead and facts.holds(
        "switch", f"net.ipv4.conf.{iif}.send_redirects is 1", host.either(iif, "send_redirects")
    )
    if redirects:
        return looked_up
    if _accepts_local(packet, host, facts):
        return None
    if host.own_rules or host.own_local_routes:
        return looked_up
    question = "a policy routing rule or a route of type local was ever added to this host"
    return looked_up if facts.holds("route", question) else quick


def admitted(packet: Packet, hop: Hop, host: Host) -> str | Fork[str | None] | None:
    """As ``source_refused``, for every answer to what is not known."""
    if packet.family == 6:
        return None
    return explored(partial(source_refused, packet, hop, host))


def _rp_filter(iif: str, host: Host, facts: Facts) -> int:
    """1: strict, 2: loose, 0: none; the greater of all interfaces' and this one's."""
    values = [host.conf(name, "rp_filter") for name in ("all", iif)]
    known = max([value for value in values if value is not None], default=0)
    if None not in values or known > 1:
        return known
    unread = "all" if values[0] is None else iif
    names = f"net.ipv4.conf.{unread}.rp_filter"
    if known == 1:
        return 2 if facts.holds("switch", f"{names} is 2") else 1
    if facts.holds("switch", f"{names} is 1"):
        return 1
    return 2 if facts.holds("switch", f"{names} is 2") else 0


def _own_source(packet: Packet, host: Host, facts: Facts) -> str | None:
    src = packet.src
    own = facts.assumes(own_address_question(src)) if host.addresses is None else src in host.addresses
    return _martian(packet) if own and not _accepts_local(packet, host, facts) else None


def _martian(packet: Packet) -> str:
    return f"{packet.src}, its source, is this host's own: it cannot come in by {packet.iif}"


def _accepts_local(packet: Packet, host: Host, facts: Facts) -> bool:
    known = host.either(packet.iif, "accept_local")
    return facts.holds("switch", f"net.ipv4.conf.{packet.iif}.accept_local is 1", known)


def _no_way_back(
    packet: Packet, hop: Hop, ahead: str | None, strictness: int, host: Host, facts: Facts
) -> str | None:
    """Why the look-up of the way back refuses a packet (__fib_validate_source)."""
    iif, src = packet.iif, packet.src
    nobody = f"there is no route back to {src}: rp_filter is {strictness}"
    marked = packet.mark | packet.mark_unknown != 0 and facts.holds(
        "switch", f"net.ipv4.conf.{iif}.src_valid_mark is 1", host.either(iif, "src_valid_mark")
    )
    flow = Flow.of(packet).back(ahead, marked=marked)
    if hop.type in ("broadcast", "multicast"):
        flow = flow.to_nobody()
    found = look_up(flow, host, facts)
    if found is None or found.type in ERRORS:
        return nobody if strictness else None
    if found.type == "local":
        if not _accepts_local(packet, host, facts):
            return _martian(packet)
    elif found.type != "unicast":
        return f"{src}, its source, is of type {found.type} to this host"
    devs = [way.dev for way in found.route.hops] if found.route else [None]
    if iif in devs or strictness == 0:
        return None
    if None in devs and facts.holds("route", f"a route to {src} leads by {iif}"):
        return None
    if strictness == 1:
        return f"the route back to {src} is not by {iif}: rp_filter is 1"
    link = (host.links or {}).get(iif or "")
    addressed = None if link is None else any(each.address.version == 4 for each in link.addresses)
    return None if facts.holds("own-address", f"{iif} has an IPv4 address", addressed) else nobody


def _arrival_6(packet: Packet, host: Host, facts: Facts) -> Arrival:
    src, dst = packet.src, packet.dst
    assert isinstance(dst, IPv6Address)
    if packet.iif == "lo":
        return _by_loopback(packet, host, facts)
    if dst.is_multicast:
        known = True if dst in ALL_NODES or _solicits(dst, packet, host) else None
        if facts.holds("group-member", _member(dst, packet.iif), known):
            return Hop("multicast", packet.iif)
        return Refused(f"this host is no member of {dst}")
    hop = next_hop(Flow.of(packet), host, facts)
    if hop.type in ("local", "anycast", "broadcast"):
        return hop
    if hop.type in ERRORS:
        return _nowhere(packet, hop)
    if hop.type != "unicast":
        return Refused(f"{dst} is of type {hop.type} to this host")
    if host.sysctl("net.ipv6.conf.all.forwarding") == "0":
        forced = host.conf(packet.iif, "force_forwarding", version=6)
        if not forced:
            return Refused("this host does not forward: net.ipv6.conf.all.forwarding is 0")
    limited = _with_hops_left(packet, hop)
    if isinstance(limited, Refused):
        return limited
    if (src.is_unspecified or src.is_link_local) and not _same_link(packet, hop, facts):
        return Refused(f"{src} belongs to the link by which it came: it is not forwarded to another")
    return hop


def _same_link(packet: Packet, hop: Hop, facts: Facts) -> bool:
    known = None if hop.dev is None or packet.iif is None else hop.dev == packet.iif
    return facts.holds("interface", "the packet leaves by the interface that it came in by", known)


def _solicits(group: IPv6Address, packet: Packet, host: Host) -> bool:
    """Whether it is the group by which neighbours look for an address of the interface (RFC 4291, 2.7.1)."""
    link = (host.links or {}).get(packet.iif or "")
    return link is not None and any(
        solicited(own.address) == group for own in link.addresses if isinstance(own.address, IPv6Address)
    )


def solicited(address: IPv6Address) -> IPv6Address:
    """The group by which neighbours look for an address."""
    return _SOLICITED[int(address) & 0xFFFFFF]
