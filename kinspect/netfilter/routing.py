"""Where the kernel routes a packet, by the host's rules and routes (ip-rule(8), ip-route(8))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host, PolicyRule, Route, RouteType
from kinspect.model.packet import Address, Packet, equal_bits
from kinspect.model.questions import Question

# What a host has that nobody configured: ip rule's three.
_USUAL: Final = (
    PolicyRule(priority=0, table="local"),
    PolicyRule(priority=32766, table="main"),
    PolicyRule(priority=32767, table="default"),
)


_TABLES: Final = ("local", "main", "default")


@dataclass(frozen=True, slots=True)
class Hop:
    """What the routing decision came to.

    ``dev`` is None where the snapshot has no routes: onward, but by an unknown interface.
    """

    type: RouteType
    dev: str | None = None
    gateway: Address | None = None
    prefsrc: Address | None = None


@dataclass(frozen=True, slots=True)
class Fork:
    """A decision that hangs on a policy rule whose condition cannot be decided."""

    question: Question
    applies: Hop | Fork
    usual: Hop | Fork


def usual(decision: Hop | Fork | None) -> Hop | None:
    """The hop if no rule in doubt applies."""
    while isinstance(decision, Fork):
        decision = decision.usual
    return decision


def route(
    dst: Address, host: Host, packet: Packet | None = None, *, only_by: str | None = None
) -> Hop | Fork | None:
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
    policy = sorted(host.rules.get(dst.version) or _USUAL, key=lambda rule: rule.priority)
    return _decided(policy, dst, packet, routes, only_by)


def _decided(
    policy: Sequence[PolicyRule],
    dst: Address,
    packet: Packet | None,
    routes: Sequence[Route],
    only_by: str | None,
) -> Hop | Fork:
    for number, rule in enumerate(policy):
        applies = _applies(rule, dst, packet)
        found = None if applies is False else _by(rule, dst, routes, only_by)
        if found is None:
            continue
        if applies:
            return found
        rest = _decided(policy[number + 1 :], dst, packet, routes, only_by)
        if rest == found:
            return found
        question = f"the policy routing rule {rule.priority} applies ({_condition(rule, packet)})"
        return Fork(Question("route", question), found, rest)
    return Hop("unreachable")


def _condition(rule: PolicyRule, packet: Packet | None) -> str:
    """What of a rule is open."""
    if rule.undecidable is not None:
        return rule.undecidable
    if rule.mark is not None and packet is not None and packet.mark_unknown:
        return f"the packet's mark is {rule.mark[0]:#x}/{rule.mark[1]:#x}"
    return f"the packet comes in by {rule.iif}"


def _by(rule: PolicyRule, dst: Address, routes: Sequence[Route], only_by: str | None) -> Hop | None:
    """What a policy rule that applies comes to; None: the next rule is asked."""
    if rule.action in ("blackhole", "unreachable", "prohibit"):
        return Hop(rule.action)  # type: ignore[arg-type]
    found = _lookup(rule.table, dst, routes, only_by)
    if found is None and rule.table not in _TABLES and not any(known.table == "local" for known in routes):
        return Hop("unicast")  # only the main table was dumped
    if found is None or found.type == "throw":
        return None
    return Hop(found.type, found.dev, found.gateway, found.prefsrc)


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
        mark, unknown = (packet.mark, packet.mark_unknown) if packet else (0, 0)
        conditions.append(equal_bits(mark, unknown, *rule.mark))
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
