"""Where the kernel routes a packet, by the host's rules and routes (ip-rule(8), ip-route(8)).

Facts: fib_rules_lookup (net/core/fib_rules.c); fib_table_lookup, fib_lookup and fib_select_path
(net/ipv4); rt6_select and fib6_select_path (net/ipv6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec

from kinspect.model.host import Host, NextHop, PolicyRule, Route, RouteType, Span
from kinspect.model.packet import Address, Packet, equal_bits, protocol_name
from kinspect.model.questions import Input, Question
from kinspect.netfilter.unknowns import Facts, Fork, explored

ERRORS: Final = ("blackhole", "unreachable", "prohibit")
"""Types of routes, and actions of rules, that lead nowhere."""

_TABLES: Final = ("local", "main", "default")
_LEGACY_TOS: Final = 0x1C  # the bits of a packet's TOS that IPv4 routing looks at (IPTOS_RT_MASK)
_DSCP: Final = 0xFC
_MANY: Final = 8  # next hops, beyond which it is not asked by which of them a packet leaves


@dataclass(frozen=True, slots=True)
class Hop:
    """The result of a routing decision.

    ``dev`` is None if the snapshot has no routes: the packet is sent on by an unknown interface.
    """

    type: RouteType
    dev: str | None = None
    gateway: Address | None = None
    prefsrc: Address | None = None
    scope: str = "global"


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What a look-up goes by. A field that is None is not known, unless it says otherwise."""

    dst: Address
    src: Address | None = None  # None: not chosen yet, which no rule's source is
    mark: int = 0
    mark_unknown: int = 0
    tos: int | None = None
    iif: str | None = "lo"  # lo: made here
    protocol: int | None = None
    sport: int | None = None  # None: it has none
    dport: int | None = None
    uid: int | None = 0  # what comes in counts as root's

    @classmethod
    def of(cls, packet: Packet, dst: Address | None = None) -> Flow:
        """A packet's, on its way to an address."""
        user = packet.owner.uid if packet.owner else None
        return cls(
            dst=dst or packet.dst,
            src=packet.src,
            mark=packet.mark,
            mark_unknown=packet.mark_unknown,
            tos=packet.tos,
            iif="lo" if packet.local else packet.iif,
            protocol=packet.protocol,
            sport=packet.sport,
            dport=packet.dport,
            uid=user if packet.local else 0,
        )

    def to_nobody(self) -> Flow:
        """The same from nobody: no rule's source."""
        return msgspec.structs.replace(self, src=None)

    def back(self, oif: str | None, *, marked: bool) -> Flow:
        """The flow that source validation looks up: an answer's, as if it came by the way out."""
        assert self.src is not None
        return msgspec.structs.replace(
            self,
            dst=self.src,
            src=self.dst,
            mark=self.mark if marked else 0,
            mark_unknown=self.mark_unknown if marked else 0,
            iif=oif or "lo",
            sport=self.dport,
            dport=self.sport,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a look-up: a route, or the action of a policy rule.

    ``choices`` are the next hops that a packet may take, each with the route that it is of.
    """

    type: RouteType
    route: Route | None = None
    choices: tuple[tuple[Route, NextHop], ...] = ()


def route(
    dst: Address, host: Host, packet: Packet | None = None, *, only_by: str | None = None
) -> Hop | Fork[Hop] | None:
    """The next hop to an address, for this packet's source, mark and interface; local: this host itself.

    ``only_by``: consider only routes by this interface. None: it is not known whether the address is
    the host's own.
    """
    if host.family_routes(dst) is None:
        local = host.is_local(dst)
        if local is None:
            return None
        return Hop("local", dev="lo") if local else Hop("unicast")
    flow = Flow(dst=dst) if packet is None else Flow.of(packet, dst)
    return explored(partial(next_hop, flow, host, only_by=only_by))


def own_address_question(address: Address) -> Question:
    """The question whether an address is one of the host's own."""
    text = f"{address} is an address of this host"
    return Question("own-address", text, (Input("local-address", str(address)),))


def next_hop(flow: Flow, host: Host, facts: Facts, *, only_by: str | None = None) -> Hop:
    """Where a packet of this flow goes next; unreachable if no route leads there."""
    dst = flow.dst
    if host.family_routes(dst) is None:
        known = host.is_local(dst)
        own = facts.assumes(own_address_question(dst)) if known is None else known
        return Hop("local", dev="lo") if own else Hop("unicast")
    if only_by is None and flow.iif != "lo" and _of_one_link(dst):
        only_by = flow.iif
    found = look_up(flow, host, facts, only_by=only_by)
    return Hop("unreachable") if found is None else _chosen(found, flow, facts)


def _of_one_link(dst: Address) -> bool:
    """Whether the kernel looks for routes by the packet's own interface only (rt6_need_strict)."""
    return dst.version == 6 and (dst.is_loopback or dst.is_link_local or dst.is_multicast)


def _chosen(found: Found, flow: Flow, facts: Facts) -> Hop:
    """One of the next hops: of several the kernel chooses by a hash with a secret seed."""
    hops = [
        (Hop(found.type, way.dev, way.gateway, of.prefsrc, of.scope), way.weight) for of, way in found.choices
    ]
    if not hops:
        return Hop(found.type)
    distinct = dict.fromkeys(hop for hop, _ in hops)
    if len(distinct) > _MANY:
        return Hop(found.type)
    whole = sum(weight for _, weight in hops)
    *first, last = distinct
    for hop in first:
        weight = sum(share for other, share in hops if other == hop)
        way = f"{hop.dev}{f' via {hop.gateway}' if hop.gateway else ''}"
        question = f"of several next hops to {flow.dst} the kernel takes the one by {way}"
        if facts.holds("next-hop", f"{question} (its weight is {weight} of {whole})"):
            return hop
    return last


def look_up(flow: Flow, host: Host, facts: Facts, *, only_by: str | None = None) -> Found | None:
    """What the rules of policy routing and their tables have for a flow; None: no route."""
    version = flow.dst.version
    rules = host.policy(version)
    at = 0
    while at < len(rules):
        rule = rules[at]
        at += 1
        if not _applies(rule, flow, host, facts):
            continue
        if rule.action == "goto":
            at = next((n for n, other in enumerate(rules) if other.priority == rule.target), at)
            continue
        if rule.action == "nop":
            continue
        if rule.action in ERRORS:
            return Found(rule.action)  # type: ignore[arg-type]
        found = _in_table(rule.table, flow, host, facts, only_by)
        if rule.table == "local" and version == 4 and not host.own_rules:
            found = _merged(found, flow, host, facts, only_by)
        if found is None:
            if rule.table not in _TABLES and host.table(version, "local") is None:
                return Found("unicast")  # only the main table was dumped
            continue
        if found.type == "throw" or (found.type not in ERRORS and _suppressed(rule, found, host, facts)):
            continue
        return found
    return None


def _merged(local: Found | None, flow: Flow, host: Host, facts: Facts, only_by: str | None) -> Found | None:
    """What tables local and main have together: one, until anyone adds a policy rule (fib_unmerge)."""
    if local is None or local.route is None or local.route.destination.prefixlen == 32:
        return local
    main = _in_table("main", flow, host, facts, only_by)
    if main is None or main.route is None:
        return local
    if main.route.destination.prefixlen <= local.route.destination.prefixlen:
        return local
    network = main.route.destination
    question = (
        f"a policy routing rule was ever added to this host, so that table local hides the route to {network}"
    )
    return local if facts.holds("route", question) else main


def _suppressed(rule: PolicyRule, found: Found, host: Host, facts: Facts) -> bool:
    """Whether the rule ignores what its table has."""
    if found.route is None:
        return False
    if rule.suppress_prefix is not None and found.route.destination.prefixlen <= rule.suppress_prefix:
        return True
    if rule.suppress_group is None or not found.choices:
        return False
    dev = found.choices[0][1].dev
    link = (host.links or {}).get(dev or "")
    known = None if link is None or link.group is None else link.group == rule.suppress_group
    return facts.holds("route", f"{dev} is of the interface group {rule.suppress_group}", known)


def _applies(rule: PolicyRule, flow: Flow, host: Host, facts: Facts) -> bool:
    """Whether all conditions of a rule hold, or not all where it is inverted."""
    holds = True
    open_conditions = []
    for condition, holding in _conditions(rule, flow, host):
        if holding is False:
            holds = False
            break
        if holding is None:
            open_conditions.append(condition)
    if holds and open_conditions:
        question = f"the policy routing rule {rule.priority} applies ({', '.join(open_conditions)})"
        # The question is of the rule as a whole, its inversion included.
        return facts.holds("route", question)
    return holds != rule.inverted


def _conditions(rule: PolicyRule, flow: Flow, host: Host) -> Iterator[tuple[str, bool | None]]:
    """Each condition in words, and whether it holds; None: not known."""
    if rule.dst is not None:
        yield "", flow.dst in rule.dst
    if rule.src is not None:
        yield "", flow.src is not None and flow.src in rule.src
    if rule.mark is not None:
        mark, mask = rule.mark
        words = f"the packet's mark is {mark:#x}/{mask:#x}"
        yield words, equal_bits(flow.mark, flow.mark_unknown, mark & mask, mask)
    if rule.iif is not None:
        yield f"the packet comes in by {rule.iif}", None if flow.iif is None else flow.iif == rule.iif
    if rule.oif is not None:
        yield "", False  # matches only sockets that are bound to a device
    if rule.tos:
        words = f"the packet's TOS is {rule.tos:#x}"
        mask = _LEGACY_TOS if flow.dst.version == 4 else _DSCP
        yield words, None if flow.tos is None else flow.tos & mask == rule.tos
    if rule.protocol is not None:
        known = None if flow.protocol is None else flow.protocol == rule.protocol
        yield f"the packet's protocol is {protocol_name(rule.protocol)}", known
    for span, port in ((rule.sport, flow.sport), (rule.dport, flow.dport)):
        if span is not None:
            yield "", _within(port or 0, span)
    if rule.uids is not None:
        words = f"its process has a user number from {rule.uids[0]} to {rule.uids[1]}"
        yield words, None if flow.uid is None else _within(flow.uid, rule.uids)
    if rule.l3mdev:
        yield f"{flow.iif} belongs to a VRF", _of_vrf(flow, host)
    if rule.undecidable is not None:
        yield rule.undecidable, None


def _within(number: int, span: Span) -> bool:
    return span[0] <= number <= span[1]


def _of_vrf(flow: Flow, host: Host) -> bool | None:
    """Whether a flow belongs to a VRF: only what comes in by one does, or a socket that is bound to one."""
    if flow.iif == "lo":
        return False
    link = (host.links or {}).get(flow.iif or "")
    if link is None:
        return None
    if link.kind == "vrf":
        return True
    master = (host.links or {}).get(link.master or "")
    if master is None:
        return None if link.master or (link.leads and link.kind is None) else False
    return None if master.kind is None else master.kind == "vrf"


def _in_table(name: str, flow: Flow, host: Host, facts: Facts, only_by: str | None) -> Found | None:
    """The route of a table: the longest prefix first, and the least metric of it."""
    table = host.table(flow.dst.version, name)
    if table is None:
        return None
    among = _among_4 if flow.dst.version == 4 else _among_6
    for same in table.matching(flow.dst):
        found = among(same, flow, facts, only_by)
        if found is not None:
            return found
    return None


def _among_4(routes: Sequence[Route], flow: Flow, facts: Facts, only_by: str | None) -> Found | None:
    """Of the routes of one prefix: one for the packet's TOS first, then the least metric."""
    if len(routes) > 1:
        routes = sorted(routes, key=lambda route: (-route.tos, route.metric))
    for at, candidate in enumerate(routes):
        if candidate.tos and not _of_tos(candidate, flow, facts):
            continue
        if candidate.type in ERRORS or candidate.type == "throw":
            return Found(candidate.type, candidate)
        ways = _usable(candidate, only_by)
        if not ways:
            continue
        choices = [(candidate, way) for way in ways]
        if candidate.destination.prefixlen == 0 and len(ways) == 1 and ways[0].gateway is not None:
            # Of several default routes the kernel takes one whose gateway answers (fib_select_default).
            for other in routes[at + 1 :]:
                if (other.tos, other.metric, other.type) == (candidate.tos, candidate.metric, "unicast"):
                    beside = _usable(other, only_by)[:1]
                    choices += [(other, way) for way in beside if way.gateway is not None]
        return Found(candidate.type, candidate, tuple(choices))
    return None


def _of_tos(candidate: Route, flow: Flow, facts: Facts) -> bool:
    known = None if flow.tos is None else flow.tos & _LEGACY_TOS == candidate.tos
    return facts.holds("packet-field", f"the packet's TOS is {candidate.tos:#x}", known)


def _among_6(routes: Sequence[Route], flow: Flow, facts: Facts, only_by: str | None) -> Found | None:
    """Of the routes of one prefix: for the longest prefix of the source, then of the least metric, all."""
    fitting = [
        each for each in routes if each.source is None or (flow.src is not None and flow.src in each.source)
    ]
    fitting.sort(key=lambda route: (-(route.source.prefixlen if route.source else 0), route.metric))
    for at, first in enumerate(fitting):
        if first.type in ERRORS or first.type == "throw":
            return Found(first.type, first)
        beside = [
            other
            for other in fitting[at:]
            if (other.metric, other.source, other.type) == (first.metric, first.source, first.type)
        ]
        choices = [(each, way) for each in beside for way in _usable(each, only_by)]
        if choices:
            return Found(first.type, choices[0][0], tuple(choices))
    return None


def _usable(candidate: Route, only_by: str | None) -> list[NextHop]:
    """The next hops of a route that the kernel takes (fib_lookup_good_nhc).

    One without carrier counts, unless ignore_routes_with_linkdown has it printed as dead, too.
    """
    return [way for way in candidate.hops if not way.dead and only_by in (None, way.dev)]
