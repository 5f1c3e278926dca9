"""Services, endpoints, pods and nodes, as far as a packet's way depends on them.

Names and meanings are those of the Kubernetes API (v1 Service, discovery.k8s.io/v1 EndpointSlice).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

import msgspec

from kinspect.model.packet import Address

TrafficPolicy = Literal["Cluster", "Local"]


@dataclass(frozen=True, slots=True)
class ServicePort:
    """A port of a Service; ``protocol`` is upper case, as the API writes it."""

    name: str
    protocol: str
    port: int
    node_port: int | None = None
    target_port: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A Service and its frontends."""

    namespace: str
    name: str
    type: str
    cluster_ips: tuple[Address, ...] = ()
    headless: bool = False
    external_ips: tuple[Address, ...] = ()
    load_balancer_ips: tuple[Address, ...] = ()
    source_ranges: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    external_policy: TrafficPolicy = "Cluster"
    internal_policy: TrafficPolicy = "Cluster"
    affinity_seconds: int | None = None  # ClientIP affinity; None: none
    external_name: str | None = None
    selector: Mapping[str, str] = field(default_factory=dict)
    families: tuple[int, ...] = ()
    health_check_node_port: int | None = None
    other_proxy: bool = False  # label service.kubernetes.io/service-proxy-name: kube-proxy ignores it
    in_api: bool = True  # False: a node's rules know it, and the API does not have it (any more)

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.namespace, self.name

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One address and port of a Service's port."""

    service: tuple[str, str]
    port_name: str
    protocol: str
    address: Address
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    node: str | None = None
    pod: tuple[str, str] | None = None  # namespace, name
    for_nodes: tuple[str, ...] = ()  # topology hints: the nodes and zones that should use it
    for_zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod, its addresses and its node."""

    namespace: str
    name: str
    addresses: tuple[Address, ...] = ()
    node: str | None = None
    host_network: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    daemon_set: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node; ``addresses`` maps the type to all of that type, as the API gives them."""

    name: str
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pod_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unschedulable: bool = False
    taints: tuple[str, ...] = ()  # their keys
    labels: Mapping[str, str] = field(default_factory=dict)

    def internal(self, version: int) -> Sequence[str]:
        """The internal addresses of a family."""
        return [a for a in self.addresses.get("InternalIP", ()) if (":" in a) == (version == 6)]


class EndpointOwner(msgspec.Struct, frozen=True):
    """The owner of the address at which a packet ended.

    ``listed``: the API lists it as an endpoint of the service in question that should get traffic. Pod
    and node are known for other addresses, too, if a pod has them.
    """

    namespace: str | None = None
    pod: str | None = None
    node: str | None = None
    listed: bool = False
    terminating: bool = False
