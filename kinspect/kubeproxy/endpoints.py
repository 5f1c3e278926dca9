"""Which endpoints kube-proxy uses for a service port on a node.

As ``CategorizeEndpoints`` of Kubernetes 1.36 (pkg/proxy/topology.go): the ready ones; if none is
ready, those that are terminating and still serve; under policy Local those of the node only.
Topology hints may narrow the set to the node's own endpoints or its zone's. Whether a release uses
hints is not in the API, so both sets are accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from kinspect.model.answer import OUTSIDE, Via
from kinspect.model.cluster import Endpoint, Service, ServicePort, TrafficPolicy
from kinspect.model.packet import Address, Family
from kinspect.model.traffic import SenderClass

Zones = Mapping[str, str]
"""The zone of each node that has one (label topology.kubernetes.io/zone)."""


@dataclass(frozen=True, slots=True)
class EndpointSet:
    """Endpoints that kube-proxy would use. ``terminating``: none is ready, so those that serve are used."""

    endpoints: tuple[Endpoint, ...]
    terminating: bool = False

    @property
    def addresses(self) -> frozenset[tuple[Address, int]]:
        """Address and port of each."""
        return frozenset((e.address, e.port) for e in self.endpoints)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayIn:
    """The sender to a service port, the frontend, and the node."""

    service: Service
    via: Via
    senders: SenderClass
    client: Address
    node: str
    zone: str | None = None


def endpoints_of(endpoints: Iterable[Endpoint], port: ServicePort | None, family: Family) -> list[Endpoint]:
    """The endpoints of a service port and a family, ready or not; none if the port is not known."""
    if port is None:
        return []
    wanted = (port.name, port.protocol)
    return [e for e in endpoints if (e.port_name, e.protocol) == wanted and e.address.version == family]


def policy_of(service: Service, via: Via) -> TrafficPolicy:
    """The traffic policy that applies to a way in."""
    return service.external_policy if via in OUTSIDE else service.internal_policy


def expected(way: WayIn, endpoints: Sequence[Endpoint]) -> list[EndpointSet]:
    """The sets that are right for a way in, the likeliest first; never empty.

    ``endpoints`` are those of the service port (``endpoints_of``).
    """
    if not admitted(way):
        return [EndpointSet(())]
    if policy_of(way.service, way.via) == "Cluster":
        return cluster_sets(endpoints, way.node, way.zone)
    local = local_set(endpoints, way.node)
    if way.via not in OUTSIDE or way.senders == "outside":
        return [local]
    # Traffic of pods and of the node itself goes to all endpoints, as if it had left the cluster and
    # come back. A pod's does only if kube-proxy knows which addresses are pods' (--cluster-cidr).
    sets = cluster_sets(endpoints, way.node, way.zone)
    return [*sets, local] if way.senders == "pod" else sets


def cluster_sets(endpoints: Iterable[Endpoint], node: str, zone: str | None) -> list[EndpointSet]:
    """The sets for policy Cluster: all usable endpoints, or those that topology hints select."""
    every = _usable(endpoints)
    answers = [every]
    if not every.terminating:
        narrowed = (
            _hinted(every, lambda e: e.for_nodes, node),
            _hinted(every, lambda e: e.for_zones, zone),
        )
        answers += [EndpointSet(hinted) for hinted in narrowed if hinted]
    return answers


def local_set(endpoints: Iterable[Endpoint], node: str) -> EndpointSet:
    """The set for policy Local: the usable endpoints on the node."""
    return _usable(e for e in endpoints if e.node == node)


def used_although_terminating(way: WayIn, endpoints: Sequence[Endpoint], endpoint: Endpoint) -> bool:
    """Whether a terminating endpoint gets traffic because no other is left."""
    return any(found.terminating and endpoint in found.endpoints for found in expected(way, endpoints))


def admitted(way: WayIn) -> bool:
    """Whether loadBalancerSourceRanges admit the client."""
    ranges = way.service.source_ranges
    if way.via != "loadbalancer" or not ranges:
        return True
    return any(within(way.client, network) for network in ranges)


def within(address: Address, network: str) -> bool:
    """Whether an address is in a network, given as text; False for text that is not a network."""
    try:
        return ip_address(address) in ip_network(network.strip(), strict=False)
    except ValueError:
        return False


def _usable(endpoints: Iterable[Endpoint]) -> EndpointSet:
    every = tuple(endpoints)
    ready = tuple(e for e in every if e.ready)
    serving = tuple(e for e in every if e.serving and e.terminating)
    return EndpointSet(ready) if ready or not serving else EndpointSet(serving, terminating=True)


def _hinted(
    every: EndpointSet, hints: Callable[[Endpoint], tuple[str, ...]], here: str | None
) -> tuple[Endpoint, ...]:
    """The endpoints hinted for here; hints count only if every ready endpoint has one."""
    if here is None or not all(hints(e) for e in every.endpoints):
        return ()
    return tuple(e for e in every.endpoints if here in hints(e))
