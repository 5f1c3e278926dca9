"""Where the kernel routes a packet, by the host's rules and routes (ip-rule(8), ip-route(8))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host, PolicyRule, Route, RouteType
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


def route(
    dst: Address, host: Host, packet: Packet | None = None, *, only_by: str | None = None
) -> Hop | None:
    """The route to an address, for this packet's source, mark and interface.

    ``only_by``: of the routes by this interface alone. None: it cannot be told whether the address
    is the host's own.
    """
    routes = host.family_routes(dst)
    if routes is None:
        local = host.is_local(dst)
        if local is None:
            return None
        return Hop("local", dev="lo") if local else Hop("unicast")
    if only_by is None and packet is not None and not packet.local and _of_one_link(dst):
        only_by = packet.iif
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
        found = _lookup(rule.table, dst, routes, only_by)
        if found is not None and found.type != "throw":
            return Hop(found.type, found.dev, found.gateway, found.prefsrc, doubt)
    return Hop("unreachable", doubt=doubt)


def _of_one_link(dst: Address) -> bool:
    """Whether the kernel sends it on by the interface only that it came by (rt6_need_strict)."""
    return dst.version == 6 and (dst.is_loopback or dst.is_link_local or dst.is_multicast)


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


def _lookup(table: str, dst: Address, routes: Sequence[Route], only_by: str | None) -> Route | None:
    best: Route | None = None
    for candidate in routes:
        if candidate.table != table or dst not in candidate.destination:
            continue
        if only_by is not None and candidate.dev != only_by:
            continue
        key = (candidate.destination.prefixlen, -candidate.metric)
        if best is None or key > (best.destination.prefixlen, -best.metric):
            best = candidate
    return best
