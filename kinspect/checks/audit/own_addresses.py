"""Addresses of services that are a node's own: the service then takes the port from the node itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.cluster import Service
from kinspect.model.packet import Address, Family, endpoint_text

EXTERNAL: Final = FindingKind(
    code="KI124",
    title="external IP that is a node's own address",
    severity=Severity.WARNING,
    means="A service has a node's own address among its externalIPs. Every node rewrites what is sent to that address"
    " and port, pods' and nodes' own traffic too: a process of the node that listens there (sshd, kubelet, the API"
    " server) cannot be reached any more.",
    todo="Take an address that no node has, or see that no process of the node needs the port. Who may set"
    " externalIPs can take over any address: the admission plugin DenyServiceExternalIPs forbids them.",
    look=("kubectl get services -A -o wide", "ss -lntup"),
    depends=frozenset({"way in"}),
)
BALANCER: Final = FindingKind(
    code="KI125",
    title="load-balancer address that is a node's own",
    severity=Severity.INFO,
    means="The address of a service's load balancer is a node's own, as with k3s' service load balancer. The port is"
    " the service's on every node, not only where the balancer takes it.",
    todo="Nothing, if the load balancer is meant to work on nodes; else give it a pool of addresses of its own.",
    look=("kubectl get services -A -o wide",),
    depends=frozenset({"way in"}),
)
KINDS: Final = (EXTERNAL, BALANCER)


def own_addresses(
    services: Iterable[Service], families: Iterable[Family], node_of: Callable[[Address], str | None]
) -> Iterator[Observation]:
    """``node_of`` gives the node whose own address it is by the API, if any."""
    for service in services:
        for kind, name, addresses in (
            (EXTERNAL, "external IP", service.external_ips),
            (BALANCER, "load balancer", service.load_balancer_ips),
        ):
            for address in addresses:
                node = node_of(address) if address.version in families else None
                if node is None:
                    continue
                ways = [f"{name} {endpoint_text(address, port.port)}" for port in service.ports]
                yield Observation(
                    kind=kind,
                    text=f"{address} is the address of {node} itself",
                    service=service.key,
                    nodes=(node,),
                    ways=tuple(ways),
                )
