"""The endpoints for which kube-proxy writes rules: those of a service port, on one node.

``endpoints`` says what is right for a packet; this module says exactly what is written. As
``CategorizeEndpoints`` of Kubernetes 1.36 (pkg/proxy/topology.go): the *cluster* set serves policy
Cluster, the *local* set policy Local.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from kinspect.kubeproxy.endpoints import endpoints_of
from kinspect.model.cluster import Endpoint, Service, ServicePort
from kinspect.model.packet import Family, endpoint_text

Topology = Literal["node", "zone"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where kube-proxy runs: its node's name, and the node's zone if it has one."""

    node: str
    zone: str | None = None


@dataclass(frozen=True, slots=True)
class Usable:
    """The endpoints of a service port on a node. ``exist``: one can be used somewhere, not only here.

    A set that no policy needs is empty. ``topology``: the hints that narrowed the cluster set.
    """

    cluster: tuple[Endpoint, ...] = ()
    local: tuple[Endpoint, ...] = ()
    exist: bool = False
    topology: Topology | None = None


def reachable_from_outside(service: Service, port: ServicePort, family: Family) -> bool:
    """Whether the port has a NodePort, a load-balancer address or an external IP of the family."""
    fronts = (*service.load_balancer_ips, *service.external_ips)
    return bool(port.node_port) or any(address.version == family for address in fronts)


def of_port(endpoints: Iterable[Endpoint], port: ServicePort, family: Family) -> list[Endpoint]:
    """The endpoints of a service port, each address and port once, in kube-proxy's order.

    Of two copies the ready one counts. The order is that of the text of address and port.
    """
    found: dict[str, Endpoint] = {}
    for each in endpoints_of(endpoints, port, family):
        key = endpoint_text(each.address, each.port)
        other = found.get(key)
        if other is None or (each.ready and not other.ready):
            found[key] = each
    return [found[key] for key in sorted(found)]


def usable(
    service: Service, port: ServicePort, endpoints: Sequence[Endpoint], place: Place, family: Family
) -> Usable:
    """The endpoints of ``of_port`` that a node uses."""
    outside = reachable_from_outside(service, port, family)
    internal_local = service.internal_policy == "Local"
    external_local = outside and service.external_policy == "Local"
    exist = any(e.ready or (e.serving and e.terminating) for e in endpoints)
    cluster: tuple[Endpoint, ...] = ()
    topology: Topology | None = None
    # With external policy Local, too: pods and the node itself go to all endpoints.
    if outside or not internal_local:
        topology = _topology(endpoints, place)
        hinted = _HINTED[topology]
        cluster = tuple(e for e in endpoints if e.ready and hinted(e, place))
        cluster = cluster or tuple(e for e in endpoints if e.serving and e.terminating)
    local: tuple[Endpoint, ...] = ()
    if internal_local or external_local:
        here = [e for e in endpoints if e.node == place.node]
        local = tuple(e for e in here if e.ready)
        local = local or tuple(e for e in here if e.serving and e.terminating)
    return Usable(cluster, local, exist, topology)


def _topology(endpoints: Sequence[Endpoint], place: Place) -> Topology | None:
    """The hints that apply: those of nodes before those of zones, if every ready endpoint has one."""
    ready = [e for e in endpoints if e.ready]
    if not ready:
        return None
    if all(e.for_nodes for e in ready) and any(place.node in e.for_nodes for e in ready):
        return "node"
    if all(e.for_zones for e in ready) and any(place.zone in e.for_zones for e in ready):
        return "zone"
    return None


_HINTED: dict[Topology | None, Callable[[Endpoint, Place], bool]] = {
    None: lambda _endpoint, _place: True,
    "node": lambda endpoint, place: place.node in endpoint.for_nodes,
    "zone": lambda endpoint, place: place.zone in endpoint.for_zones,
}
