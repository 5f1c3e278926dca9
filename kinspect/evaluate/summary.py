"""From the ways of a packet to its outcomes, and from outcomes to shares of nodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import Literal, TypeAlias

from kinspect.model.answer import LostShare, NodeShare, NodeTrace, Outcome, Total
from kinspect.model.cluster import EndpointOwner
from kinspect.model.odds import NOTHING, ONE, ZERO
from kinspect.model.packet import Address, CtState
from kinspect.model.rules import Verdict
from kinspect.model.trace import Evaluation, Way

Lookup = Callable[[Address, int | None], EndpointOwner | None]


def outcomes(evaluation: Evaluation, lookup: Lookup) -> tuple[Outcome, ...]:
    """The ends that the packet can come to, in the order its rules come to them.

    Their weights sum to exactly 1, as those of the ways do.
    """
    found: dict[tuple[Verdict, Address | None, int | None, str | None, str | None], list[Way]] = {}
    for way in evaluation.ways:
        arrives = way.verdict is Verdict.ACCEPT and way.missing is None
        to = (way.packet.dst, way.packet.dport) if arrives else (None, None)
        found.setdefault((way.verdict, *to, way.snat if arrives else None, way.missing), []).append(way)
    results = []
    for (verdict, address, port, snat, missing), ways in found.items():
        weight = NOTHING
        for way in ways:
            weight = weight + way.weight
        results.append(
            Outcome(
                verdict=verdict,
                address=address,
                port=port,
                dnat=any(way.packet.dnat for way in ways),
                snat=snat,
                missing=missing,
                weight=weight,
                ways=tuple(ways),
                backend=lookup(address, port) if address is not None else None,
            )
        )
    return tuple(results)


def totals(traces: Sequence[NodeTrace], entry: Mapping[str, Fraction], *, service: bool) -> tuple[Total, ...]:
    """Where the traffic of each way in ends; ways whose totals are the same are one.

    Without weights all nodes are entered equally. ``service``: the frontends are a service's, so a
    packet that no rule sends anywhere is lost, wherever it ends.
    """
    groups: dict[tuple[object, ...], list[NodeTrace]] = {}
    for trace in traces:
        groups.setdefault((trace.via, trace.port, trace.family, trace.packet.protocol), []).append(trace)
    found: list[Total] = []
    for group in groups.values():
        total = _total(group, entry, service)
        same = total is None or any(
            (each.via, each.ends, each.lost) == (total.via, total.ends, total.lost) for each in found
        )
        if total is not None and not same:
            found.append(total)
    return tuple(found)


def _total(group: Sequence[NodeTrace], entry: Mapping[str, Fraction], service: bool) -> Total | None:
    whole = sum((entry.get(trace.node, ZERO) if entry else ONE for trace in group), ZERO)
    if not whole:
        return None
    ends: dict[str | None, tuple[Fraction, Fraction]] = {}
    lost: dict[tuple[str, _How], tuple[Fraction, Fraction]] = {}
    for trace in group:
        weight = (entry.get(trace.node, ZERO) if entry else ONE) / whole
        for outcome in trace.outcomes:
            low, high = (weight * bound for bound in outcome.bounds)
            how = _lost(trace, outcome, service)
            if how is None:
                node = outcome.backend.node if outcome.backend else None
                ends[node] = _added(ends.get(node), low, high)
            elif high:
                lost[trace.node, how] = _added(lost.get((trace.node, how)), low, high)
    first = group[0]
    ordered = sorted(ends, key=lambda node: (node is None, node or ""))
    return Total(
        first.via,
        first.port,
        first.family,
        tuple(NodeShare(node, ends[node][0], min(ONE, ends[node][1])) for node in ordered),
        tuple(LostShare(node, how, low, min(ONE, high)) for (node, how), (low, high) in sorted(lost.items())),
    )


def _added(
    known: tuple[Fraction, Fraction] | None, low: Fraction, high: Fraction
) -> tuple[Fraction, Fraction]:
    return (low, high) if known is None else (known[0] + low, known[1] + high)


_How: TypeAlias = Literal["dropped", "rejected", "not served"]


def _lost(trace: NodeTrace, outcome: Outcome, service: bool) -> _How | None:
    """How an outcome reaches no endpoint, if it does not."""
    if outcome.verdict is Verdict.REJECT:
        return "rejected"
    if outcome.verdict is Verdict.DROP:
        return "dropped"
    if outcome.verdict is Verdict.QUEUE:
        return None
    return "not served" if service and not served(trace, outcome) else None


def served(trace: NodeTrace, outcome: Outcome) -> bool:
    """Whether an outcome is sent somewhere by a rule, or ends at an endpoint as it is.

    What the raw table keeps out of nat and the node answers itself counts: NodeLocal DNSCache.
    """
    listed = outcome.backend is not None and outcome.backend.listed
    untracked = (
        any(way.packet.state is CtState.UNTRACKED and way.delivered for way in outcome.ways)
        and trace.packet.state is not CtState.UNTRACKED
    )
    return outcome.dnat or listed or untracked
