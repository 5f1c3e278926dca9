"""Clients that loadBalancerSourceRanges let in: the usual outside client is none of them, perhaps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from kinspect.checks.expected import within
from kinspect.model.cluster import Service
from kinspect.model.packet import OUTSIDE_CLIENT, Address, Family
from kinspect.model.traffic import Traffic
from kinspect.parse.user.target import FromAddress
from kinspect.pipeline.traffic.probes import Prober
from kinspect.pipeline.traffic.tracer import Tracer


def admitted_traffic(facts: Tracer, service: Service, families: Sequence[Family]) -> Iterator[Traffic]:
    """What a client of each range sends to the load balancer's addresses.

    A node has a rule for each range, so each is asked by an address of its own.
    """
    if not service.source_ranges or not service.load_balancer_ips:
        return
    endpoints = facts.cluster.endpoints(service.key)
    for client in dict.fromkeys(_clients(service, families)):
        prober = Prober(facts.cluster, facts.states, families=families, sender=FromAddress(client))
        for probe in prober.of_service(service, ("loadbalancer",), service.ports):
            trace = facts.follow(probe, endpoints)
            if trace is not None:
                yield Traffic(service, endpoints, "outside", trace)
        facts.undetermined += prober.skipped


def _clients(service: Service, families: Sequence[Family]) -> Iterator[Address]:
    for text in service.source_ranges:
        try:
            network = ip_network(text.strip(), strict=False)
        except ValueError:
            continue
        if network.version in families and not within(OUTSIDE_CLIENT[network.version], text):
            yield network[network.num_addresses // 2]
