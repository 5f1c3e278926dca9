"""``--established``: besides new connections, no existing one may end there, or have entered there.

A node that is shut down cuts two kinds of connections: those that end at its pods, and those that
entered there and were sent on to other nodes' pods. An unknown never passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from kinspect.flows.summary import summary
from kinspect.model.answer import OUTSIDE
from kinspect.model.check import (
    Avoided,
    ConnectionsUnknown,
    ConnectionsUnplaced,
    EnteredThere,
    Finding,
    NoTraffic,
    Scope,
    Standing,
    StillConnected,
)
from kinspect.model.cluster import EndpointOwner, Service
from kinspect.model.flows import Flow, FlowsRow, ServiceKey
from kinspect.model.traffic import SenderClass


def ends_there(avoided: Avoided, flow: Flow) -> bool:
    """Whether a connection ends where none should."""
    owner = flow.endpoint
    return (
        owner.node in avoided.nodes
        or (owner.namespace, owner.pod) in avoided.pods
        or any(str(address) == flow.to_address for address in avoided.addresses)
    )


def entered_there(avoided: Avoided, flow: Flow) -> bool:
    """Whether a connection entered at a node where none should, and ends elsewhere."""
    return flow.translated and flow.node in avoided.nodes and not ends_there(avoided, flow)


def within(scope: Scope, services: Iterable[ServiceKey], flow: Flow, *, narrowed: bool) -> bool:
    """Whether an assertion is about a connection; ``narrowed``: not about those to no service."""
    if flow.closing or _by_the_node_itself(flow):
        return False
    if scope.nodes and flow.node not in scope.nodes:
        return False
    if scope.sources and sender_of(flow) not in scope.sources:
        return False
    if flow.service is None:
        return not narrowed and not scope.vias
    return flow.service in services and (not scope.vias or flow.via in scope.vias)


def sender_of(flow: Flow) -> SenderClass:
    """The class of who opened a connection."""
    if flow.client.pod is not None:
        return "pod"
    if flow.client.node is None:
        return "outside"
    return "process" if flow.via not in OUTSIDE and flow.client.node == flow.node else "pod"


def established(
    claim: NoTraffic,
    avoided: Avoided,
    flows: Sequence[Flow],
    services: Callable[[ServiceKey], Service],
    of_daemon_set: Callable[[EndpointOwner], bool],
) -> Iterator[Finding]:
    """The connections that should not exist, and those for which that is not known."""

    def found(row: FlowsRow, problem: StillConnected | EnteredThere, standing: Standing) -> Finding:
        policy = services(row.service).external_policy if row.service is not None else "Cluster"
        return Finding(service=row.service, entry=None, policy=policy, problem=problem, standing=standing)

    for row in summary(flow for flow in flows if ends_there(avoided, flow)):
        daemon_set = of_daemon_set(row.endpoint) and row.endpoint.node in avoided.nodes
        excused = daemon_set and not claim.include_daemonsets
        yield found(row, StillConnected(row, daemon_set), "excused" if excused else "violated")
    through = [flow for flow in flows if entered_there(avoided, flow)]
    for own in (False, True):
        for row in summary(flow for flow in through if flow.own is own):
            yield found(row, EnteredThere(row, own), "excused" if own else "violated")
    if avoided.nodes:
        yield from _unplaced(avoided, flows)


def not_known(unknown: Iterable[tuple[str, str]]) -> Iterator[Finding]:
    """Nodes whose connections, or some of them, are not known, and why: they never pass."""
    for node, why in unknown:
        problem = ConnectionsUnknown(node, why)
        yield Finding(service=None, entry=None, policy="Cluster", problem=problem, standing="undetermined")


def _unplaced(avoided: Avoided, flows: Iterable[Flow]) -> Iterator[Finding]:
    """Connections to an address whose node is not known."""
    for row in summary(flow for flow in flows if not flow.placed and not ends_there(avoided, flow)):
        problem = ConnectionsUnplaced(row.to, row.connections)
        yield Finding(
            service=row.service, entry=None, policy="Cluster", problem=problem, standing="undetermined"
        )


def _by_the_node_itself(flow: Flow) -> bool:
    """Whether the node of a pod connects straight to it: kubelet's probes, which end with the pod."""
    client = flow.client
    straight = flow.service is None and not flow.translated
    return straight and client.pod is None and client.node is not None and client.node == flow.endpoint.node
