"""Clients that loadBalancerSourceRanges admits: the default outside client may not be among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from kinspect.kubeproxy.endpoints import within
from kinspect.model.cluster import Service
from kinspect.model.packet import OUTSIDE_CLIENT, Address, Family
from kinspect.parse.user.target import FromAddress
from kinspect.pipeline.traffic.probes import Prober, Probes
from kinspect.pipeline.traffic.tracer import Tracer


def admitted_clients(service: Service, families: Sequence[Family]) -> list[Address]:
    """An address of each range: a node has a rule for each, so each is tested with its own address."""
    if not service.source_ranges or not service.load_balancer_ips:
        return []
    return list(dict.fromkeys(_clients(service, families)))


def from_client(tracer: Tracer, service: Service, client: Address, families: Sequence[Family]) -> Probes:
    """Traffic of such a client to the load balancer's addresses."""
    prober = Prober(tracer.cluster, tracer.states, families=families, sender=FromAddress(client))
    return prober.of_service(service, ("loadbalancer",), service.ports)


def _clients(service: Service, families: Sequence[Family]) -> Iterator[Address]:
    for text in service.source_ranges:
        try:
            network = ip_network(text.strip(), strict=False)
        except ValueError:
            continue
        if network.version in families and not within(OUTSIDE_CLIENT[network.version], text):
            yield network[network.num_addresses // 2]
