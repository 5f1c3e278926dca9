"""Where traffic should go by the API: what kube-proxy makes of a service's endpoints.

As ``CategorizeEndpoints`` of Kubernetes 1.36 does (pkg/proxy/topology.go): those ready; where none
is, those that terminate and still serve; under policy Local those of the node only. Topology hints
may narrow the set to the node's own or its zone's; whether a release heeds them is not in the
API's answer, so either way counts as right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from kinspect.checks.common import endpoints_of
from kinspect.model.answer import OUTSIDE
from kinspect.model.cluster import Endpoint
from kinspect.model.packet import Address
from kinspect.model.traffic import Traffic

Zones = Mapping[str, str]
"""The zone of a node, where it has one (label topology.kubernetes.io/zone)."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One right answer. ``terminating``: none is ready, so those that still serve get it on purpose."""

    endpoints: tuple[Endpoint, ...]
    terminating: bool = False

    @property
    def addresses(self) -> frozenset[tuple[Address, int]]:
        """Address and port of each."""
        return frozenset((e.address, e.port) for e in self.endpoints)


def expected(traffic: Traffic, zones: Zones) -> list[Expected]:
    """All right answers, the likeliest first; never empty."""
    endpoints, node = endpoints_of(traffic), traffic.trace.node
    if not _admitted(traffic):
        return [Expected(())]
    local = _usable(e for e in endpoints if e.node == node)
    if traffic.trace.via not in OUTSIDE:
        if traffic.service.internal_policy == "Local":
            return [local]
    elif traffic.service.external_policy == "Local":
        if traffic.sources == "outside":
            return [local]
        # Pods' and nodes' own traffic goes to all, as if it had left and come back; a pod's only
        # where kube-proxy knows which addresses are pods' (--cluster-cidr).
        return [*_cluster(endpoints, node, zones), *([local] if traffic.sources == "pod" else [])]
    return _cluster(endpoints, node, zones)


def on_purpose(traffic: Traffic, zones: Zones, endpoint: Endpoint) -> bool:
    """Whether a terminating endpoint gets traffic because no other is left for it."""
    return any(answer.terminating and endpoint in answer.endpoints for answer in expected(traffic, zones))


def _usable(endpoints: Iterable[Endpoint]) -> Expected:
    usable = tuple(endpoints)
    ready = tuple(e for e in usable if e.ready)
    serving = tuple(e for e in usable if e.serving and e.terminating)
    return Expected(ready) if ready or not serving else Expected(serving, terminating=True)


def _cluster(endpoints: list[Endpoint], node: str, zones: Zones) -> list[Expected]:
    every = _usable(endpoints)
    answers = [every]
    if not every.terminating:
        narrowed = (
            _hinted(every, lambda e: e.for_nodes, node),
            _hinted(every, lambda e: e.for_zones, zones.get(node)),
        )
        answers += [Expected(hinted) for hinted in narrowed if hinted]
    return answers


def _hinted(
    every: Expected, hints: Callable[[Endpoint], tuple[str, ...]], here: str | None
) -> tuple[Endpoint, ...]:
    """The endpoints hinted for here; hints count only where every ready endpoint has one."""
    if here is None or not all(hints(e) for e in every.endpoints):
        return ()
    return tuple(e for e in every.endpoints if here in hints(e))


def _admitted(traffic: Traffic) -> bool:
    """Whether loadBalancerSourceRanges let the sender in."""
    if traffic.trace.via != "loadbalancer" or not traffic.service.source_ranges:
        return True
    return any(within(traffic.trace.packet.src, text) for text in traffic.service.source_ranges)


def within(address: Address, network: str) -> bool:
    """Whether an address is in a network, as text; False for what is no network."""
    try:
        return ip_address(address) in ip_network(network.strip(), strict=False)
    except ValueError:
        return False
