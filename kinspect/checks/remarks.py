"""Why a service's traces are as they are: the sentences that an on-call engineer needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Literal

from kinspect.model.answer import (
    OUTSIDE, Cordoned, Crossing, Destination, Missing, NodeTrace, NoEndpoint, Outcome, Remark, SourceHidden, Stale,
    StaysLocal, Sticky, Terminating,
)  # fmt: skip
from kinspect.model.cluster import Endpoint, Node, Service
from kinspect.model.odds import ZERO
from kinspect.model.rules import Verdict


def remarks(
    service: Service | None,
    endpoints: Sequence[Endpoint],
    traces: Sequence[NodeTrace],
    destinations: Sequence[Destination],
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
    hidden = [_share(o for o in t.outcomes if o.snat is not None) for t in traces if t.via in OUTSIDE]
    if hidden and max(hidden):
        yield SourceHidden(max(hidden))
    for destination in destinations:
        node = nodes.get(destination.node or "")
        if node is not None and node.unschedulable and destination.most:
            yield Cordoned(node.name, destination.share)
    if service.affinity_seconds is not None:
        yield Sticky(service.affinity_seconds)


def _share(outcomes: Iterable[Outcome]) -> Fraction:
    return sum((outcome.bounds[0] for outcome in outcomes), ZERO)


def _stale(traces: Iterable[NodeTrace]) -> Iterator[Remark]:
    for trace in traces:
        for outcome in trace.outcomes:
            if outcome.to is None or not outcome.dnat or outcome.verdict is not Verdict.ACCEPT:
                continue
            if outcome.backend is None or not outcome.backend.listed:
                yield Stale(trace.node, trace.via, outcome.to, outcome.bounds[0], outcome.backend)


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
                yield Missing(trace.node, trace.via, f"{endpoint.address}:{endpoint.port}")


def _crossing(service: Service, traces: Sequence[NodeTrace], *, outside: bool) -> Iterator[Remark]:
    cause: Literal["externalTrafficPolicy", "internalTrafficPolicy"] = (
        "externalTrafficPolicy" if outside else "internalTrafficPolicy"
    )
    policy = service.external_policy if outside else service.internal_policy
    crossing = []
    for trace in traces:
        away = [o for o in trace.outcomes if o.backend and o.backend.node not in (None, trace.node) and o.dnat]
        if away:
            nodes = tuple(sorted({o.backend.node for o in away if o.backend and o.backend.node}))
            crossing.append(Crossing(trace.node, nodes, _share(away), cause))
    if crossing:
        yield from dict.fromkeys(crossing)
    elif policy == "Local":
        without = [t.node for t in traces if all(o.verdict is not Verdict.ACCEPT for o in t.outcomes)]
        yield StaysLocal(cause, tuple(dict.fromkeys(without)))
