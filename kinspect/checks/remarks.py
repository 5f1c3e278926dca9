"""Why a service's traces are as they are: the sentences that an on-call engineer needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from kinspect.kubeproxy.names import PROXY_FIREWALL
from kinspect.model.answer import (
    OUTSIDE,
    Bounds,
    Cordoned,
    Crossing,
    Died,
    EndedBy,
    EndedByPolicy,
    EndedByRouting,
    EndedByRule,
    Missing,
    NodeLabelled,
    NodeShare,
    NodeTrace,
    NoEndpoint,
    Outcome,
    Remark,
    SourceHidden,
    Stale,
    StaysLocal,
    Sticky,
    Terminating,
    WaysOut,
)  # fmt: skip
from kinspect.model.cluster import Endpoint, Node, Service
from kinspect.model.odds import NOTHING
from kinspect.model.packet import endpoint_text
from kinspect.model.rules import Verdict
from kinspect.model.trace import ChainPolicy, Matched, Routed, Way


def remarks(
    service: Service | None,
    endpoints: Sequence[Endpoint],
    traces: Sequence[NodeTrace],
    destinations: Sequence[NodeShare],
    nodes: Mapping[str, Node],
) -> Iterator[Remark]:
    """What is worth saying, the most pressing first."""
    if service is None or not traces:
        return
    yield from _stale(traces)
    yield from _missing(service, endpoints, traces)
    if not any(endpoint.ready for endpoint in endpoints):
        if any(endpoint.serving and endpoint.terminating for endpoint in endpoints):
            yield Terminating()
        else:
            yield NoEndpoint()
    for outside in (True, False):
        group = [trace for trace in traces if (trace.via in OUTSIDE) is outside]
        if group:
            yield from _crossing(service, group, outside=outside)
    yield from _died(service, traces)
    hidden = [_share(o for o in t.outcomes if o.snat is not None) for t in traces if t.via in OUTSIDE]
    if any(high for _, high in hidden):
        yield SourceHidden(max(high for _, high in hidden))
    for destination in destinations:
        node = nodes.get(destination.node or "")
        if node is not None and node.unschedulable and destination.most:
            yield Cordoned(node.name, (destination.share, destination.most))
    for node in nodes.values():
        for key, wanted in service.selector.items():
            if key in node.labels:
                yield NodeLabelled(node.name, (key, node.labels[key]), (key, wanted))
    if service.affinity_seconds is not None:
        yield Sticky(service.affinity_seconds)


def _share(outcomes: Iterable[Outcome]) -> Bounds:
    weight = NOTHING
    for outcome in outcomes:
        weight = weight + outcome.weight
    return weight.bounds()


def _stale(traces: Iterable[NodeTrace]) -> Iterator[Remark]:
    for trace in traces:
        for outcome in trace.outcomes:
            if outcome.to is None or not outcome.dnat or outcome.verdict is not Verdict.ACCEPT:
                continue
            if outcome.backend is None or not outcome.backend.listed:
                yield Stale(trace.node, trace.via, outcome.to, outcome.bounds, outcome.backend)


def _missing(
    service: Service, endpoints: Sequence[Endpoint], traces: Iterable[NodeTrace]
) -> Iterator[Remark]:
    for trace in traces:
        policy = service.external_policy if trace.via in OUTSIDE else service.internal_policy
        if trace.port is None or not any(outcome.dnat for outcome in trace.outcomes):
            continue
        reached = {(outcome.address, outcome.port) for outcome in trace.outcomes}
        for endpoint in endpoints:
            if (
                endpoint.ready
                and not endpoint.terminating
                and endpoint.address.version == trace.family
                and (endpoint.port_name, endpoint.protocol) == (trace.port.name, trace.port.protocol)
                and (policy == "Cluster" or endpoint.node == trace.node)
                and (endpoint.address, endpoint.port) not in reached
            ):
                yield Missing(trace.node, trace.via, endpoint_text(endpoint.address, endpoint.port))


def _crossing(service: Service, traces: Sequence[NodeTrace], *, outside: bool) -> Iterator[Remark]:
    cause: Literal["externalTrafficPolicy", "internalTrafficPolicy"] = (
        "externalTrafficPolicy" if outside else "internalTrafficPolicy"
    )
    policy = service.external_policy if outside else service.internal_policy
    crossing = []
    for trace in traces:
        away = [
            o for o in trace.outcomes if o.backend and o.backend.node not in (None, trace.node) and o.dnat
        ]
        if away:
            nodes = tuple(sorted({o.backend.node for o in away if o.backend and o.backend.node}))
            crossing.append(Crossing(trace.node, nodes, _share(away), cause))
    if crossing:
        yield from dict.fromkeys(crossing)
        if outside and policy == "Cluster":
            yield WaysOut()
    elif policy == "Local":
        without = [t.node for t in traces if all(o.verdict is not Verdict.ACCEPT for o in t.outcomes)]
        yield StaysLocal(cause, tuple(dict.fromkeys(without)))


def _died(service: Service, traces: Iterable[NodeTrace]) -> Iterator[Remark]:
    """What was refused or dropped, and where; alike at several nodes is said once."""
    found: dict[tuple[object, ...], tuple[Died, list[str]]] = {}
    for trace in traces:
        for outcome in trace.outcomes:
            if outcome.verdict is Verdict.ACCEPT:
                continue
            by = _ended_by(outcome.ways[0])
            firewall = isinstance(by, EndedByRule) and by.chain == PROXY_FIREWALL
            guarded = trace.via == "loadbalancer" and firewall
            died = Died(
                (),
                trace.via,
                outcome.verdict,
                outcome.bounds,
                by,
                service.source_ranges if guarded else (),
            )
            key = (died.via, died.verdict, died.share, died.by)
            found.setdefault(key, (died, []))[1].append(trace.node)
    for died, nodes in found.values():
        yield msgspec.structs.replace(died, nodes=tuple(dict.fromkeys(nodes)))


def _ended_by(way: Way) -> EndedBy | None:
    """What ended a way."""
    event = way.last.event if way.last else None
    match event:
        case Matched(place, rule):
            return EndedByRule(place.table, rule.chain, rule.comment)
        case ChainPolicy(place, chain):
            return EndedByPolicy(place.table, chain)
        case Routed(where):
            return EndedByRouting(where)
        case None:
            return None
