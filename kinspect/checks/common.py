"""Facts of traffic for all assertions: where it entered, where it ends, and the rule that sends it there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

from kinspect.kubeproxy.endpoints import EndpointSet, WayIn, Zones, expected, policy_of
from kinspect.kubeproxy.endpoints import endpoints_of as endpoints_of_port
from kinspect.kubeproxy.names import is_kube
from kinspect.model.answer import Bounds, Outcome
from kinspect.model.cause import Cause, RuleReference
from kinspect.model.check import Entry, Finding, Problem, Queued, Standing, Unmodelled
from kinspect.model.cluster import Endpoint, EndpointOwner
from kinspect.model.odds import NOTHING
from kinspect.model.packet import Family, SocketAddress
from kinspect.model.rules import Ruleset, Verdict
from kinspect.model.trace import ChainPolicy, Matched
from kinspect.model.traffic import Traffic

STEP: Final = Fraction(1, 1 << 31)
"""What a rule's probability may be off by: the kernel draws one of 2**31 numbers (xt_statistic)."""


@dataclass(frozen=True, slots=True)
class Location:
    """The node that an outcome ends on; None: on no node, or, where it is not ``known``, on any."""

    node: str | None
    known: bool = True


RulesOf: TypeAlias = Callable[[str, Family], Sequence[Ruleset]]
"""The rules of a node, of a family."""

Locate: TypeAlias = Callable[[Traffic, Outcome], Location]


def entry_of(traffic: Traffic) -> Entry:
    """Where the traffic comes in."""
    trace = traffic.trace
    return Entry(
        service=traffic.service.key,
        port=trace.port,
        via=trace.via,
        sources=traffic.sources,
        node=trace.node,
        client=trace.packet.src,
        frontend=SocketAddress(trace.packet.dst, trace.packet.dport),
        family=trace.family,
    )


def found(
    traffic: Traffic,
    problem: Problem,
    outcome: Outcome | None = None,
    standing: Standing = "violated",
    cause: Cause | None = None,
    rule: RuleReference | None = None,
) -> Finding:
    """A problem of this traffic, with the rule and the questions of the outcome that shows it."""
    open_questions = outcome is not None and outcome.weight.exact is None
    service = traffic.service
    return Finding(
        service=service.key,
        entry=entry_of(traffic),
        policy=policy_of(service, traffic.trace.via),
        problem=problem,
        standing=standing,
        rule=rule or (cited(outcome) if outcome is not None else None),
        questions=outcome.weight.questions() if outcome is not None and open_questions else (),
        cause=cause,
    )


def standing_of(share: Bounds) -> Standing:
    """Certain problems are violations; possible ones are undetermined."""
    return "violated" if share[0] > 0 else "undetermined"


def may_be(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes that can happen."""
    return [outcome for outcome in outcomes if outcome.bounds[1] > 0]


def share_of(outcomes: Iterable[Outcome]) -> Bounds:
    """The share of several outcomes together."""
    weight = NOTHING
    for outcome in outcomes:
        weight = weight + outcome.weight
    return weight.bounds()


def sent(traffic: Traffic, outcome: Outcome) -> bool:
    """Whether rules sent it somewhere: its destination was rewritten, or is an endpoint as it is."""
    return outcome.verdict is Verdict.ACCEPT and (outcome.dnat or listed(traffic, outcome) is not None)


def destination(outcome: Outcome) -> SocketAddress:
    """Where an accepted outcome ends up."""
    assert outcome.address is not None
    return SocketAddress(outcome.address, outcome.port)


def listed(traffic: Traffic, outcome: Outcome) -> Endpoint | None:
    """The endpoint of the service that an outcome ends at."""
    for endpoint in traffic.endpoints:
        if (endpoint.address, endpoint.port) == (outcome.address, outcome.port):
            return endpoint
    return None


def endpoints_of(traffic: Traffic) -> list[Endpoint]:
    """The endpoints of the traffic's port and family, ready or not."""
    return endpoints_of_port(traffic.endpoints, traffic.trace.port, traffic.trace.family)


def way_in(traffic: Traffic, zones: Zones) -> WayIn:
    """The same traffic from the view of kube-proxy's rules."""
    trace = traffic.trace
    return WayIn(
        service=traffic.service,
        via=trace.via,
        senders=traffic.sources,
        client=trace.packet.src,
        node=trace.node,
        zone=zones.get(trace.node),
    )


def expected_of(traffic: Traffic, zones: Zones) -> list[EndpointSet]:
    """The sets of endpoints that are right for this traffic, the likeliest first; never empty."""
    return expected(way_in(traffic, zones), endpoints_of(traffic))


def backend_of(endpoint: Endpoint) -> EndpointOwner:
    """The owner of an endpoint, according to the API alone."""
    namespace, pod = endpoint.pod or (endpoint.service[0], None)
    return EndpointOwner(namespace, pod, endpoint.node, listed=True, terminating=endpoint.terminating)


def elsewhere(traffic: Traffic, outcome: Outcome) -> Finding | None:
    """Its end is decided outside of the rules: it may go anywhere, so nothing is certain."""
    if outcome.verdict is Verdict.QUEUE:
        return found(traffic, Queued(outcome.bounds), outcome, "undetermined")
    unmodelled = any(question.kind == "unsupported-target" for question in outcome.weight.questions())
    if unmodelled and outcome.verdict is Verdict.DROP:
        return found(traffic, Unmodelled(outcome.bounds), outcome, "undetermined")
    return None


def masquerading(outcome: Outcome) -> RuleReference | None:
    """The rule that rewrote the source of an outcome's packets, or the one that marked them for it.

    A mark that is not set in a KUBE- chain is named before the rule that acts on it.
    """
    matched = [event for event in outcome.ways[0].events() if isinstance(event, Matched)]
    marks = [
        event
        for event in matched
        if event.rule.target_text.startswith("-j MARK") and not is_kube(event.rule.chain)
    ]
    source = [event for event in matched if event.place.table == "nat" and event.place.hook == "POSTROUTING"]
    for event in (*marks, *reversed(source)):
        place, rule = event.place, event.rule
        return RuleReference(place.source, rule.line, place.table, rule.chain, rule.text)
    return None


def cited(outcome: Outcome) -> RuleReference | None:
    """The rule that sent the packet where it went, or that ended it."""
    events = outcome.ways[0].events()
    if outcome.verdict is Verdict.ACCEPT:
        # A binding ends the nat table's walk: the last rule that took the packet is the one that bound it.
        events = [
            event
            for event in events
            if isinstance(event, Matched)
            and event.place.table == "nat"
            and event.place.hook in ("PREROUTING", "OUTPUT")
        ]
    for event in reversed(events):
        if isinstance(event, Matched):
            rule = event.rule
            return RuleReference(event.place.source, rule.line, event.place.table, rule.chain, rule.text)
        if isinstance(event, ChainPolicy):
            text = f"-P {event.chain} {event.verdict.value}"
            return RuleReference(event.place.source, None, event.place.table, event.chain, text)
    return None
