"""Where the kernel routes a packet, by the host's rules and routes (ip-rule(8), ip-route(8))."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host, Link, PolicyRule, Route, RouteType
from kinspect.model.packet import Address, Packet

# What a host has that nobody configured: ip rule's three.
_USUAL: Final = (
    PolicyRule(priority=0, table="local"),
    PolicyRule(priority=32766, table="main"),
    PolicyRule(priority=32767, table="default"),
)


@dataclass(frozen=True, slots=True)
class Hop:
    """What the routing decision came to.

    ``dev`` is None where the snapshot has no routes: onward, but by an unknown interface.
    ``doubt`` names the condition of a policy rule that could not be decided: the hop is then what
    holds if that rule does not apply.
    """

    type: RouteType
    dev: str | None = None
    gateway: Address | None = None
    prefsrc: Address | None = None
    doubt: str | None = None


def route(dst: Address, host: Host, packet: Packet | None = None) -> Hop | None:
    """The route to an address, for this packet's source, mark and interface.

    None: it cannot be told whether the address is the host's own.
    """
    routes = host.family_routes(dst)
    if routes is None:
        local = host.is_local(dst)
        if local is None:
            return None
        return Hop("local", dev="lo") if local else Hop("unicast")
    doubt = None
    for rule in sorted(host.rules.get(dst.version) or _USUAL, key=lambda rule: rule.priority):
        applies = _applies(rule, dst, packet)
        if applies is None:
            doubt = (
                doubt
                or f"the policy routing rule {rule.priority} applies ({rule.undecidable or 'its condition'})"
            )
            continue
        if not applies:
            continue
        if rule.action in ("blackhole", "unreachable", "prohibit"):
            return Hop(rule.action, doubt=doubt)  # type: ignore[arg-type]
        found = _lookup(rule.table, dst, routes)
        if found is not None and found.type != "throw":
            return Hop(found.type, found.dev, found.gateway, found.prefsrc, doubt)
    return Hop("unreachable", doubt=doubt)


def _applies(rule: PolicyRule, dst: Address, packet: Packet | None) -> bool | None:
    conditions: list[bool | None] = []
    if rule.dst is not None:
        conditions.append(dst in rule.dst)
    if rule.src is not None:
        conditions.append(packet is not None and packet.src in rule.src)
    if rule.mark is not None:
        value, mask = rule.mark
        conditions.append((packet.mark if packet else 0) & mask == value)
    if rule.iif is not None:
        iif = ("lo" if packet.local else packet.iif) if packet else "lo"
        conditions.append(None if iif is None else iif == rule.iif)
    if rule.oif is not None:
        conditions.append(False)  # only a socket bound to a device meets it
    if rule.undecidable is not None:
        conditions.append(None)
    if False in conditions:
        return rule.inverted
    if None in conditions:
        return None
    return not rule.inverted


def _lookup(table: str, dst: Address, routes: Sequence[Route]) -> Route | None:
    best: Route | None = None
    for candidate in routes:
        if candidate.table != table or dst not in candidate.destination:
            continue
        key = (candidate.destination.prefixlen, -candidate.metric)
        if best is None or key > (best.destination.prefixlen, -best.metric):
            best = candidate
    return best


def source_address(packet: Packet, host: Host) -> Address | None:
    """The source that MASQUERADE takes for a routed packet; None where it cannot be known.

    IPv4: the address of the outgoing interface in the next hop's network, else its first
    (inet_select_addr in the kernel's devinet.c). IPv6: the one of the outgoing interface that
    shares most with the destination (ipv6_dev_get_saddr, RFC 6724).
    """
    if packet.oif is None or host.links is None:
        return None
    hop = route(packet.dst, host, packet)
    next_hop = (hop.gateway if hop else None) or packet.dst
    return _of_interface(packet.oif, next_hop, packet.dst, host.links)


def own_source(dst: Address, host: Host) -> Address | None:
    """The source that a process on the host gets for a new connection, if it binds to none."""
    hop = route(dst, host)
    if hop is None:
        return None
    if hop.type == "local":
        return dst
    if hop.prefsrc is not None:
        return hop.prefsrc
    if hop.dev is None or host.links is None:
        return None
    return _of_interface(hop.dev, hop.gateway or dst, dst, host.links)


def _of_interface(dev: str, next_hop: Address, dst: Address, links: Mapping[str, Link]) -> Address | None:
    version = dst.version
    first = links.get(dev)
    for link in [*([first] if first else []), *links.values()]:
        usable = [
            a
            for a in link.addresses
            if a.address.version == version
            and a.scope in ("global", "site")
            and not (a.secondary and version == 4)
        ]
        if not usable:
            continue  # the kernel then looks at the other interfaces, in their order
        if version == 4:
            same = [a.address for a in usable if next_hop in a.network]
            return same[0] if same else usable[0].address
        return max(
            usable, key=lambda a: a.address.max_prefixlen - (int(a.address) ^ int(dst)).bit_length()
        ).address
    return None
