"""From the ways of a packet to its outcomes, and from outcomes to shares of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction

from kinspect.model.answer import NodeShare, NodeTrace, Outcome
from kinspect.model.cluster import EndpointOwner
from kinspect.model.odds import NOTHING, ONE, ZERO
from kinspect.model.packet import Address
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


def destinations(traces: Iterable[NodeTrace], entry: Mapping[str, Fraction]) -> tuple[NodeShare, ...]:
    """The share of each node in all traffic: ways in alike, entry nodes by their weights.

    Without weights all nodes are entered alike. Nodes are sorted; what ends on no known node
    comes last, what is refused or dropped is left out.
    """
    groups: dict[tuple[object, ...], list[NodeTrace]] = {}
    for trace in traces:
        groups.setdefault((trace.via, trace.port, trace.family, trace.packet.protocol), []).append(trace)
    least: dict[str | None, Fraction] = {}
    most: dict[str | None, Fraction] = {}
    for group in groups.values():
        total = sum((entry.get(trace.node, ZERO) if entry else ONE for trace in group), ZERO)
        if not total:
            continue
        for trace in group:
            weight = (entry.get(trace.node, ZERO) if entry else ONE) / total / len(groups)
            for outcome in trace.outcomes:
                if outcome.verdict is not Verdict.ACCEPT:
                    continue
                node = outcome.backend.node if outcome.backend else None
                low, high = outcome.bounds
                least[node] = least.get(node, ZERO) + weight * low
                most[node] = most.get(node, ZERO) + weight * high
    ordered = sorted(least, key=lambda node: (node is None, node or ""))
    return tuple(NodeShare(node, least[node], min(ONE, most[node])) for node in ordered)
