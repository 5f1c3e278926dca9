"""Counters of rules: which of them count the new connections of an endpoint, and what they say.

An endpoint's connections are counted by the rule that translates to it (DNAT), whatever way they came in. So
its share is the one that all ways in agree on, or lies between theirs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final, TypeAlias

import msgspec

from kinspect.flows.chance import chance
from kinspect.kubeproxy import names
from kinspect.model.answer import Bounds, NodeTrace, Outcome
from kinspect.model.cluster import EndpointOwner, Service, ServicePort
from kinspect.model.counts import EndpointCount, Judgement, NodeCondition, NodeReading
from kinspect.model.odds import ZERO
from kinspect.model.packet import Family
from kinspect.model.rules import Rule
from kinspect.model.trace import Matched

UNLIKELY: Final = 0.001
"""Differences less probable than this, over all endpoints of a reading together, are more than chance."""

_RULE: Final = re.compile(rb"^\[(\d+):\d+\] (-A (\S+) [^\n]*)$", re.M)
_TO_ENDPOINT: Final = re.compile(rf"-j ({names.ENDPOINT}\S+)")
_TRANSLATES: Final = "--to-destination"

Counts: TypeAlias = Mapping[str, int]
"""Packets by the text of the rule that counted them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An endpoint of a service port at a node: its share, and the rules that count its connections."""

    node: str
    port: ServicePort | None
    family: Family
    to: str
    backend: EndpointOwner | None
    share: Bounds
    rules: frozenset[str]
    packets: int | None  # by the counters of the dump that was traced; None: it has none

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it apart at its node."""
        return self.port, self.family, self.to

    def count(self, connections: int | None, rate: float | None = None) -> EndpointCount:
        """What was counted for it."""
        return EndpointCount(
            node=self.node,
            port=self.port,
            family=self.family,
            to=self.to,
            backend=self.backend,
            share=self.share,
            connections=connections,
            rate=rate,
        )


def expected(traces: Iterable[NodeTrace]) -> tuple[Expected, ...]:
    """The endpoints that the traces of a service's ways in lead to, by node, port and family."""
    by_port: dict[tuple[object, ...], list[dict[str, Expected]]] = {}
    for trace in traces:
        ways = _endpoints(trace)
        if ways:  # nothing that is dropped is counted as a connection
            by_port.setdefault((trace.node, trace.port, trace.family), []).append(ways)
    return tuple(_apart([one for ways in by_port.values() for one in _together(ways)]))


def _apart(found: Sequence[Expected]) -> Iterable[Expected]:
    """A rule that translates to one of several endpoints counts for none: which of them is not known."""
    users = Counter((one.node, rule) for one in found for rule in one.rules)
    for one in found:
        shared = any(users[one.node, rule] > 1 for rule in one.rules)
        yield replace(one, rules=frozenset(), packets=None) if shared else one


def _endpoints(trace: NodeTrace) -> dict[str, Expected]:
    """The endpoints of one way in, by address; shares of what is translated at all."""
    by_address: dict[str, list[Outcome]] = {}
    for outcome in trace.outcomes:
        if outcome.to is not None and _rules(outcome):
            by_address.setdefault(outcome.to, []).append(outcome)
    bounds = {to: _sum(outcome.bounds for outcome in ends) for to, ends in by_address.items()}
    low, high = _sum(bounds.values())
    found = {}
    for to, ends in by_address.items():
        rules = {key: rule for end in ends for key, rule in _rules(end).items()}
        counters = [rule.counters for rule in rules.values()]
        least, most = bounds[to]
        found[to] = Expected(
            node=trace.node,
            port=trace.port,
            family=trace.family,
            to=to,
            backend=ends[0].backend,
            share=(_part(least, high - most), _part(most, low - least)),
            rules=frozenset(rule.text for rule in rules.values()),
            packets=None if None in counters else sum(each.packets for each in counters if each),
        )
    return found


def _sum(bounds: Iterable[Bounds]) -> Bounds:
    every = list(bounds)
    return sum((low for low, _ in every), ZERO), sum((high for _, high in every), ZERO)


def _part(share: Fraction, others: Fraction) -> Fraction:
    return share / (share + others) if share else ZERO


def _together(ways: Sequence[Mapping[str, Expected]]) -> Iterable[Expected]:
    """The endpoints of all ways into one port; one that a way does not lead to gets nothing of that way."""
    for to in sorted({to for way in ways for to in way}):
        found = [way[to] for way in ways if to in way]
        shares = [one.share for one in found] + [(ZERO, ZERO)] * (len(ways) - len(found))
        yield replace(
            found[0],
            share=(min(low for low, _ in shares), max(high for _, high in shares)),
            rules=frozenset().union(*(one.rules for one in found)),
            # Ways in share the rules that translate, so the one that meets most of them counts.
            packets=None
            if any(one.packets is None for one in found)
            else max(one.packets or 0 for one in found),
        )


def _rules(outcome: Outcome) -> dict[tuple[str, int], Rule]:
    """The rules that translate to an end, each once."""
    return {
        (event.place.source, event.rule.line): event.rule
        for way in outcome.ways
        for event in way.events()
        if isinstance(event, Matched) and _TRANSLATES in event.rule.target_text
    }


def judged(counts: Sequence[EndpointCount], *, sticky: bool = False) -> tuple[EndpointCount, ...]:
    """The counts with what was drawn, and whether the difference from the shares is chance.

    ``sticky``: with client affinity one client's connections all go to one endpoint, so they are no draws of
    their own, and nothing is tested. An endpoint whose share is not known exactly is held to the nearest one
    that is possible.
    """
    drawn: dict[tuple[object, ...], int] = {}
    for one in counts:
        drawn[_group(one)] = drawn.get(_group(one), 0) + (one.connections or 0)
    made = [msgspec.structs.replace(one, drawn=drawn[_group(one)]) for one in counts]
    unknown = {_group(one) for one in counts if one.connections is None}
    tested = [one for one in made if not sticky and one.drawn and _group(one) not in unknown]
    asked = {id(one) for one in tested}
    return tuple(_judged(one, len(tested)) if id(one) in asked else one for one in made)


def _judged(one: EndpointCount, tests: int) -> EndpointCount:
    """With the p-value; the more that is tested, the less probable it must be to be more than chance."""
    low, high = one.share
    observed = Fraction(one.connections or 0, one.drawn)
    if low != high and low <= observed <= high:
        return msgspec.structs.replace(one, judgement="within-bounds")
    nearest = min(max(observed, low), high)
    # A share behind many draws has thousands of digits, of which a double keeps enough.
    found = chance(one.connections or 0, one.drawn, Fraction(nearest.numerator / nearest.denominator))
    judgement: Judgement = "more-than-chance" if found * tests < UNLIKELY else "chance"
    return msgspec.structs.replace(one, chance=found, judgement=judgement)


def _group(one: EndpointCount) -> tuple[object, ...]:
    return one.node, one.port, one.family


def chains_of(service: Service) -> frozenset[str]:
    """The chains that kube-proxy has, or could have, for a service's ports; those of endpoints apart."""
    return frozenset(
        names.service_chain(
            prefix, names.service_port_name(service.namespace, service.name, port.name), port.protocol
        )
        for prefix in names.LEADING_TO_ENDPOINTS
        for port in service.ports
    )


def counters(dumps: Iterable[bytes], chains: frozenset[str], rules: frozenset[str]) -> dict[str, int]:
    """The counters of some rules in a node's dumps (iptables-save -c), by the rule's text.

    Those of these chains, of the endpoints' chains that they lead to, and of these rules wherever they are.
    """
    found: dict[str, int] = {}
    others: list[tuple[str, str, int]] = []
    leads_to: set[str] = set()
    for dump in dumps:
        for packets, text, of in _RULE.findall(dump):
            chain, rule = of.decode("utf-8", "replace"), text.decode("utf-8", "replace")
            if chain in chains:
                found[rule] = found.get(rule, 0) + int(packets)
                leads_to.update(_TO_ENDPOINT.findall(rule))
            elif rule in rules or chain.startswith(names.ENDPOINT):
                others.append((chain, rule, int(packets)))
    for chain, rule, count in others:
        if chain in leads_to or rule in rules:
            found[rule] = found.get(rule, 0) + count
    return found


@dataclass(slots=True)
class NodeTally:
    """What one node's rules counted since the watch began, or since its rules last changed."""

    node: str
    rules: tuple[Expected, ...]
    known: frozenset[str]  # the texts of all rules of the service, which say if they are still the same
    last: Counts | None = None
    at: float = 0.0
    condition: NodeCondition = "waiting"
    why: str | None = None
    seconds: float | None = None
    resets: int = 0
    rewrites: int = 0
    totals: dict[tuple[object, ...], int] = field(default_factory=dict)
    gained: dict[tuple[object, ...], int] = field(default_factory=dict)

    def changed(self, found: Counts) -> bool:
        """Whether the rules are others than those that the shares are of."""
        return self.known != found.keys()

    def rewritten(self, rules: tuple[Expected, ...], known: frozenset[str]) -> None:
        """Begin anew with other rules, from the next reading on: what was counted had other shares."""
        self.rules, self.known, self.last = rules, known, None
        self.gained, self.seconds, self.condition, self.why = {}, None, "rewritten", None
        self.totals.clear()
        self.rewrites += 1

    def read(self, found: Counts, at: float) -> None:
        """Count what the same rules gained since the last reading.

        If the counter of any of them fell, they were written anew (kube-proxy writes whole chains, with
        counters at zero), and what they gained before is not known: nothing of this interval is counted.
        """
        if self.last is None:
            self._restart("first", found, at)
            return
        if any(count < self.last[rule] for rule, count in found.items()):
            self.resets += 1
            self._restart("reset", found, at)
            return
        self.gained = {
            one.key: sum(found.get(rule, 0) - self.last.get(rule, 0) for rule in one.rules)
            for one in self.rules
        }
        for key, gained in self.gained.items():
            self.totals[key] = self.totals.get(key, 0) + gained
        self.seconds, self.condition, self.why = at - self.at, "counted", None
        self.last, self.at = found, at

    def overdue(self) -> None:
        """No reading for longer than it should take; a node that is gone stays so."""
        self.gained, self.seconds = {}, None
        if self.condition != "gone":
            self.condition = "waiting"

    def lost(self, why: str) -> None:
        """The node cannot be read."""
        self.gained, self.seconds, self.condition, self.why = {}, None, "gone", why

    def _restart(self, condition: NodeCondition, found: Counts, at: float) -> None:
        self.gained, self.seconds, self.condition, self.why = {}, None, condition, None
        self.last, self.at = found, at

    def reading(self) -> NodeReading:
        """How the node was read."""
        return NodeReading(
            node=self.node,
            condition=self.condition,
            seconds=self.seconds,
            why=self.why,
            resets=self.resets,
            rewrites=self.rewrites,
        )

    def counts(self) -> list[EndpointCount]:
        """What was counted for each endpoint so far, and a second since the last reading."""
        return [
            one.count(
                self.totals.get(one.key, 0) if one.rules else None,
                self.gained[one.key] / self.seconds if self.seconds and one.key in self.gained else None,
            )
            for one in self.rules
        ]
