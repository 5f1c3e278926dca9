"""``kinspect flows``: which connections exist, to which services and endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kinspect.checks.assertions.established import ends_there
from kinspect.errors import CallError, NotFound
from kinspect.flows.summary import summary
from kinspect.model.check import Avoided, NoTrafficTo, ServicePattern, ToNode
from kinspect.model.diagnostics import Diagnostics, Undetermined, together, warned
from kinspect.model.flows import Flow, FlowsAnswer, ServiceKey
from kinspect.model.packet import Family
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.aims import drained_nodes, meant
from kinspect.pipeline.connections import judged, read_tables, straight
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.read import Facts, not_read, read_facts
from kinspect.pipeline.gather.sources import Rules, Source, Wanted
from kinspect.pipeline.traffic.probes import ports_of


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowsRequest:
    """Which connections to list; empty stands for all.

    ``to``: only those that end there; None: no matter where. ``drained``: those that end on any
    drained node. ``through``: only those that entered at one of these nodes and end on another.
    """

    services: Sequence[ServicePattern] = ()
    namespace: str | None = None
    only_namespace: bool = False
    to: Sequence[NoTrafficTo] = ()
    drained: bool = False
    through: Sequence[str] = ()
    stale: bool = False
    fail: bool = False
    nodes: Sequence[str] = ()
    families: Sequence[Family] = (4, 6)


def flows(request: FlowsRequest, source: Source) -> FlowsAnswer:
    """List connections. Raises KinspectError."""
    if isinstance(source, Rules):
        raise CallError("--rules alone has no connections", hint="give a --snapshot with conntrack.txt")
    wanted = Wanted(
        namespace=request.namespace,
        pods=True,
        pods_if_allowed=True,
        connections=True,
        nodes=tuple(request.nodes),
    )
    snapshot, namespace = opened(source, wanted)
    facts = read_facts(snapshot, request.nodes, about=lambda key: _of_service(request, key, namespace))
    _named(request, facts.cluster, namespace)
    through = meant([ToNode(name) for name in request.through], facts, namespace).nodes
    ends = _ends(request, facts, namespace)
    found = read_tables(
        facts,
        snapshot,
        request.nodes,
        families=request.families,
        services=[s for s in facts.cluster.services() if _of_service(request, s.key, namespace)],
        also=straight(ends, facts) if ends is not None else None,
    )
    every, untold = judged(found.flows, facts)
    listed = [
        flow
        for flow in every
        if _of_services(request, flow, namespace)
        and (ends is None or ends_there(ends, flow))
        and (not request.through or (flow.node in through and flow.endpoint.node != flow.node))
        and (not request.stale or flow.stale is not None)
    ]
    unplaced: list[Undetermined] = []
    if ends is not None and ends.nodes:
        unplaced += _unplaced(flow for flow in found.flows if _of_services(request, flow, namespace))
    direct = [flow for flow in listed if flow.service is None and not flow.translated and not flow.closing]
    if ends is None:
        listed = [flow for flow in listed if flow.service is not None or flow.translated]
    if not request.stale:  # then it is but a remark
        untold = warned([*untold.warnings, *map(str, untold.undetermined)])
    diagnostics = together(
        [
            facts.diagnostics,
            not_read(facts.cluster, snapshot, request.nodes),
            Diagnostics((*found.undetermined, *unplaced)),
            warned(f"a line cannot be read: {text}" for text in found.damage.values()),
            untold,
        ]
    )
    return FlowsAnswer(
        flows=tuple(listed),
        rows=summary(listed),
        fail=request.fail,
        nodes=tuple(found.nodes),
        direct=0 if ends is not None else len(direct),
        diagnostics=diagnostics,
    )


def _named(request: FlowsRequest, cluster: Cluster, namespace: str) -> None:
    """Raises NotFound for a service, or a port, that is not there."""
    for pattern in request.services:
        if not pattern.open:
            service = cluster.service(pattern.namespace or namespace, pattern.name)
            if pattern.port is not None:
                ports_of(service, pattern.port)


def _ends(request: FlowsRequest, facts: Facts, namespace: str) -> Avoided | None:
    if request.drained:
        if not facts.cluster.has("nodes"):
            raise NotFound("there is no api/nodes.json: which nodes are drained is not known")
        return Avoided(drained_nodes(facts.cluster))
    return meant(request.to, facts, namespace) if request.to else None


def _of_service(request: FlowsRequest, service: ServiceKey, namespace: str) -> bool:
    if request.only_namespace and service[0] != namespace:
        return False
    return not request.services or any(p.matches(service, namespace) for p in request.services)


def _of_services(request: FlowsRequest, flow: Flow, namespace: str) -> bool:
    if flow.service is None:
        return not request.services and not request.only_namespace
    if not request.services:
        return _of_service(request, flow.service, namespace)
    ports = (None, *((flow.port.name, str(flow.port.port), str(flow.port.node_port)) if flow.port else ()))
    return any(p.matches(flow.service, namespace) and p.port in ports for p in request.services)


def _unplaced(flows: Iterable[Flow]) -> Iterator[Undetermined]:
    """Which connections may end on a node that is asked about: nothing says on which they do."""
    for address in dict.fromkeys(flow.to_address for flow in flows if not flow.placed and not flow.closing):
        text = f"connections go to {address}, and nothing that was read says on which node that is"
        yield Undetermined(text=text, code="unplaced")
