"""The API's lists to services, endpoints, pods and nodes.

Decodes only the fields that are needed, and makes a model object only of what is asked for: a
cluster's 50,000 endpoints are read in a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cached_property
from ipaddress import ip_network
from typing import Final, Generic, TypeVar

import msgspec

from kinspect.errors import NotFound, SnapshotError
from kinspect.model.cluster import Endpoint, EndpointOwner, Node, Pod, Service, ServicePort, TrafficPolicy
from kinspect.model.packet import Address, read_address
from kinspect.snapshot.types import Files

T = TypeVar("T")
Text = dict[str, str]


class _List(msgspec.Struct, Generic[T]):
    items: list[T] | None = None


class _Base(msgspec.Struct, rename="camel", gc=False):
    """API objects: camelCase names, absent and null fields alike."""


class _Owner(_Base):
    kind: str = ""


class _Meta(_Base):
    name: str = ""
    namespace: str = ""
    labels: Text | None = None
    owner_references: list[_Owner] | None = None


class _Named(_Base):
    metadata: _Meta


class _Port(_Base):
    port: int | None = None
    name: str | None = None
    protocol: str | None = None
    node_port: int | None = None
    target_port: int | str | None = None


class _ClientIP(_Base):
    timeout_seconds: int | None = None


class _Affinity(_Base):
    client_ip: _ClientIP | None = msgspec.field(name="clientIP", default=None)


class _ServiceSpec(_Base):
    type: str = "ClusterIP"
    cluster_ip: str | None = msgspec.field(name="clusterIP", default=None)
    cluster_ips: list[str] | None = msgspec.field(name="clusterIPs", default=None)
    external_ips: list[str] | None = msgspec.field(name="externalIPs", default=None)
    load_balancer_source_ranges: list[str] | None = None
    ports: list[_Port] | None = None
    external_traffic_policy: str | None = None
    internal_traffic_policy: str | None = None
    session_affinity: str | None = None
    session_affinity_config: _Affinity | None = None
    external_name: str | None = None
    selector: Text | None = None
    health_check_node_port: int | None = None


class _Ingress(_Base):
    ip: str | None = None
    ip_mode: str | None = None


class _LoadBalancer(_Base):
    ingress: list[_Ingress] | None = None


class _ServiceStatus(_Base):
    load_balancer: _LoadBalancer | None = None


class _Service(_Base):
    metadata: _Meta
    spec: _ServiceSpec
    status: _ServiceStatus | None = None


class _Reference(_Base):
    kind: str = ""
    name: str = ""
    namespace: str = ""


class _Conditions(_Base):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class _Hint(_Base):
    name: str = ""


class _Hints(_Base):
    for_nodes: list[_Hint] | None = None
    for_zones: list[_Hint] | None = None


class _SliceEndpoint(_Base):
    addresses: list[str]
    conditions: _Conditions | None = None
    node_name: str | None = None
    target_ref: _Reference | None = None
    hints: _Hints | None = None


class _Slice(_Base):
    metadata: _Meta
    address_type: str | None = None
    endpoints: list[_SliceEndpoint] | None = None
    ports: list[_Port] | None = None


class _SubsetAddress(_Base):
    ip: str
    node_name: str | None = None
    target_ref: _Reference | None = None


class _Subset(_Base):
    addresses: list[_SubsetAddress] | None = None
    not_ready_addresses: list[_SubsetAddress] | None = None
    ports: list[_Port] | None = None


class _Endpoints(_Base):
    metadata: _Meta
    subsets: list[_Subset] | None = None


class _PodIP(_Base):
    ip: str | None = None


class _PodSpec(_Base):
    node_name: str | None = None
    host_network: bool | None = None


class _PodStatus(_Base):
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    pod_ips: list[_PodIP] | None = msgspec.field(name="podIPs", default=None)
    phase: str | None = None


class _Pod(_Base):
    metadata: _Meta
    spec: _PodSpec | None = None
    status: _PodStatus | None = None


class _NodeAddress(_Base):
    type: str
    address: str


class _NodeStatus(_Base):
    addresses: list[_NodeAddress] | None = None


class _Taint(_Base):
    key: str = ""


class _NodeSpec(_Base):
    pod_cidr: str | None = msgspec.field(name="podCIDR", default=None)
    pod_cidrs: list[str] | None = msgspec.field(name="podCIDRs", default=None)
    unschedulable: bool | None = None
    taints: list[_Taint] | None = None


class _Node(_Base):
    metadata: _Meta
    spec: _NodeSpec | None = None
    status: _NodeStatus | None = None


# What is kept of each list; endpoints that were read depend on both lists of them, mostly on slices.
_READ_OF: Final = {
    "endpointslices": ("_slices", "_read", "_addresses"),
    "pods": ("pods",),
    "nodes": ("nodes",),
}


class Cluster:
    """What the API said, read as it is asked for. Any look-up may raise SnapshotError."""

    def __init__(self, api: Files, origin: str) -> None:
        self._api = api
        self._origin = origin

    def after(self, api: Files) -> Cluster:
        """The same cluster with other lists; what was read of those that stay is not read again."""
        found = Cluster(api, self._origin)
        for kind, names in _READ_OF.items():
            if api.get(f"{kind}.json") is self._api.get(f"{kind}.json"):
                found.__dict__.update({name: self.__dict__[name] for name in names if name in self.__dict__})
        return found

    def has(self, kind: str) -> bool:
        """Whether the kind was read at all."""
        return f"{kind}.json" in self._api

    def _items(self, kind: str, of: type[T]) -> list[T]:
        name = f"{kind}.json"
        data = self._api.get(name)
        if data is None:
            return []
        try:
            return msgspec.json.decode(data, type=_List[of]).items or []  # type: ignore[valid-type]
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SnapshotError(
                f"{self._origin}: api/{name} is not a list of the Kubernetes API: {error}",
                hint=f"kubectl get {kind} -A -o json writes one",
            ) from error

    @cached_property
    def _read(self) -> dict[tuple[str, str], tuple[Endpoint, ...]]:
        """The endpoints of the services that were asked for so far."""
        return {}

    @cached_property
    def _addresses(self) -> dict[tuple[str, str], frozenset[Address]]:
        return {}

    @cached_property
    def _services(self) -> dict[tuple[str, str], _Service]:
        return {(s.metadata.namespace, s.metadata.name): s for s in self._items("services", _Service)}

    @cached_property
    def _slices(self) -> dict[tuple[str, str], list[_Slice]]:
        """EndpointSlices by their service."""
        found: dict[tuple[str, str], list[_Slice]] = {}
        for item in self._items("endpointslices", _Slice):
            name = (item.metadata.labels or {}).get("kubernetes.io/service-name")
            if name:
                found.setdefault((item.metadata.namespace, name), []).append(item)
        return found

    @cached_property
    def _endpoints(self) -> dict[tuple[str, str], _Endpoints]:
        return {(e.metadata.namespace, e.metadata.name): e for e in self._items("endpoints", _Endpoints)}

    def endpoint_count(self, family: int) -> int:
        """The endpoints of a family over the ports of all services, as EndpointSlices list them."""
        address_type = "IPv6" if family == 6 else "IPv4"
        return sum(
            len(item.endpoints or ()) * len(item.ports or ())
            for slices in self._slices.values()
            for item in slices
            if (item.address_type or "IPv4") == address_type
        )

    def has_slices(self) -> bool:
        """Whether there is any EndpointSlice."""
        return bool(self._slices)

    def namespaces(self) -> list[str]:
        """Names of namespaces, sorted."""
        return sorted(item.metadata.name for item in self._items("namespaces", _Named))

    def service_names(self) -> list[tuple[str, str]]:
        """Namespace and name of every service, sorted."""
        return sorted(self._services)

    def has_service(self, key: tuple[str, str]) -> bool:
        """Whether there is a service of this namespace and name."""
        return key in self._services

    def services(self) -> Iterable[Service]:
        """All services, by namespace and name."""
        return (_service(self._services[key]) for key in self.service_names())

    def service(self, namespace: str, name: str) -> Service:
        """One service. Raises NotFound, which names those that look alike."""
        found = self._services.get((namespace, name))
        if found is not None:
            return _service(found)
        return self._no_service(namespace, name)

    def _no_service(self, namespace: str, name: str) -> Service:
        same = [f"{ns}/{n}" for ns, n in self.service_names() if n == name and ns != namespace]
        here = [n for ns, n in self._services if ns == namespace]
        near = [f"{namespace}/{n}" for n in get_close_matches(name, here, 3, 0.6)]
        if not same and not near:
            near = get_close_matches(f"{namespace}/{name}", [f"{ns}/{n}" for ns, n in self._services], 3, 0.7)
        meant = [*same[:3], *near][:4]
        hint = f"did you mean {' or '.join(meant)}?" if meant else "kubectl get services -A lists them"
        raise NotFound(f"there is no service {namespace}/{name} in {self._origin}", hint=hint)

    def endpoints(self, service: tuple[str, str]) -> tuple[Endpoint, ...]:
        """The endpoints of a service, from its EndpointSlices, or from Endpoints where there are none."""
        if service not in self._read:
            if self._slices or not self.has("endpoints"):
                found = [e for item in self._slices.get(service, ()) for e in _of_slice(service, item)]
            else:
                old = self._endpoints.get(service)
                found = list(_of_subsets(service, old)) if old else []
            self._read[service] = tuple(found)
        return self._read[service]

    def endpoint_addresses(self, service: tuple[str, str]) -> frozenset[Address]:
        """The addresses of a service's endpoints."""
        if service not in self._addresses:
            self._addresses[service] = frozenset(e.address for e in self.endpoints(service))
        return self._addresses[service]

    def endpoints_at(self, address: Address) -> list[Endpoint]:
        """The endpoints of any service that have the address."""
        text = str(address)
        found = []
        for service, slices in self._slices.items():
            if any(text in e.addresses for item in slices for e in item.endpoints or ()):
                found += [e for e in self.endpoints(service) if e.address == address]
        if not self._slices:
            for service in self._endpoints:
                found += [e for e in self.endpoints(service) if e.address == address]
        return found

    @cached_property
    def pods(self) -> Mapping[tuple[str, str], Pod]:
        """Pods by namespace and name; those that have ended are left out."""
        return {
            (pod.namespace, pod.name): pod
            for pod in map(_pod, (p for p in self._items("pods", _Pod) if not _ended(p)))
        }

    @cached_property
    def nodes(self) -> Mapping[str, Node]:
        """Nodes by name, sorted."""
        return {
            node.name: node for node in sorted(map(_node, self._items("nodes", _Node)), key=lambda n: n.name)
        }

    @cached_property
    def _pod_of(self) -> dict[Address, Pod]:
        return {a: pod for pod in self.pods.values() if not pod.host_network for a in pod.addresses}

    @cached_property
    def _node_of(self) -> dict[str, str]:
        return {a: node.name for node in self.nodes.values() for of in node.addresses.values() for a in of}

    def node_address(self, address: Address) -> bool:
        """Whether it is an address of a node."""
        return str(address) in self._node_of

    def own_address_of(self, address: Address) -> str | None:
        """The node whose own address it is."""
        return self._node_of.get(str(address))

    def node_of(self, address: Address) -> str | None:
        """The node that an address is on: its own, its pods', or of its pods' network."""
        own = self._node_of.get(str(address))
        if own is not None:
            return own
        pod = self._pod_of.get(address)
        if pod is not None and pod.node is not None:
            return pod.node
        for node in self.nodes.values():
            if any(address in network for network in node.pod_networks):
                return node.name
        return None

    def pod_at(self, address: Address) -> Pod | None:
        """The pod that has the address for itself."""
        return self._pod_of.get(address)

    def backend(self, address: Address, port: int | None, endpoints: Iterable[Endpoint]) -> EndpointOwner:
        """What stands at an address; ``endpoints`` are those of the service asked for."""
        for endpoint in endpoints:
            if endpoint.address == address and port in (None, endpoint.port):
                namespace, pod = endpoint.pod or (endpoint.service[0], None)
                node = endpoint.node or self.node_of(address)
                return EndpointOwner(namespace, pod, node, listed=True, terminating=endpoint.terminating)
        found = self.pod_at(address)
        if found is not None:
            return EndpointOwner(found.namespace, found.name, found.node)
        return EndpointOwner(node=self.node_of(address))


def _addresses(texts: Iterable[str | None]) -> tuple[Address, ...]:
    found = []
    for text in texts:
        try:
            found.append(read_address(text or ""))
        except ValueError:
            continue  # a host name, or nothing: no packet is addressed to it
    return tuple(found)


def _policy(text: str | None) -> TrafficPolicy:
    return "Local" if text == "Local" else "Cluster"


def _service(item: _Service) -> Service:
    spec = item.spec
    ips = spec.cluster_ips or ([spec.cluster_ip] if spec.cluster_ip else [])
    cluster_ips = _addresses(ips)
    balancer = item.status.load_balancer if item.status else None
    affinity = None
    if spec.session_affinity == "ClientIP":
        config = spec.session_affinity_config
        affinity = (config.client_ip.timeout_seconds if config and config.client_ip else None) or 10800
    return Service(
        namespace=item.metadata.namespace,
        name=item.metadata.name,
        type=spec.type,
        cluster_ips=cluster_ips,
        headless="None" in ips,
        external_ips=_addresses(spec.external_ips or ()),
        # Of mode Proxy, the balancer ends connections itself: kube-proxy writes no rule for the address.
        load_balancer_ips=_addresses(
            i.ip for i in (balancer.ingress if balancer else None) or () if i.ip_mode != "Proxy"
        ),
        source_ranges=tuple(spec.load_balancer_source_ranges or ()),
        ports=tuple(
            ServicePort(
                port.name or "",
                (port.protocol or "TCP").upper(),
                port.port or 0,
                port.node_port or None,
                None if port.target_port is None else str(port.target_port),
            )
            for port in spec.ports or ()
        ),
        external_policy=_policy(spec.external_traffic_policy),
        internal_policy=_policy(spec.internal_traffic_policy),
        affinity_seconds=affinity,
        external_name=spec.external_name,
        selector=spec.selector or {},
        families=tuple(sorted({a.version for a in cluster_ips})),
        health_check_node_port=spec.health_check_node_port or None,
        other_proxy="service.kubernetes.io/service-proxy-name" in (item.metadata.labels or {}),
    )


def _target(reference: _Reference | None, namespace: str) -> tuple[str, str] | None:
    if reference is None or reference.kind != "Pod":
        return None
    return reference.namespace or namespace, reference.name


_NO_CONDITIONS = _Conditions()


def _of_slice(service: tuple[str, str], item: _Slice) -> Iterable[Endpoint]:
    ports = [
        (p.name or "", (p.protocol or "TCP").upper(), p.port) for p in item.ports or () if p.port is not None
    ]
    for endpoint in item.endpoints or ():
        conditions = endpoint.conditions or _NO_CONDITIONS
        ready = conditions.ready is not False  # "nil should be interpreted as true"
        hints = endpoint.hints
        for address in _addresses(endpoint.addresses):
            for name, protocol, port in ports:
                yield Endpoint(
                    service=service,
                    port_name=name,
                    protocol=protocol,
                    address=address,
                    port=port,
                    ready=ready,
                    serving=ready if conditions.serving is None else conditions.serving,
                    terminating=bool(conditions.terminating),
                    node=endpoint.node_name,
                    pod=_target(endpoint.target_ref, service[0]),
                    for_nodes=tuple(hint.name for hint in hints.for_nodes or ()) if hints else (),
                    for_zones=tuple(hint.name for hint in hints.for_zones or ()) if hints else (),
                )


def _of_subsets(service: tuple[str, str], item: _Endpoints) -> Iterable[Endpoint]:
    for subset in item.subsets or ():
        for ready, listed in ((True, subset.addresses), (False, subset.not_ready_addresses)):
            for entry in listed or ():
                for address in _addresses([entry.ip]):
                    for port in subset.ports or ():
                        yield Endpoint(
                            service=service,
                            port_name=port.name or "",
                            protocol=(port.protocol or "TCP").upper(),
                            address=address,
                            port=port.port or 0,
                            ready=ready,
                            serving=ready,
                            node=entry.node_name,
                            pod=_target(entry.target_ref, service[0]),
                        )


def _ended(item: _Pod) -> bool:
    return item.status is not None and item.status.phase in ("Succeeded", "Failed")


def _pod(item: _Pod) -> Pod:
    status = item.status or _PodStatus()
    ips = [entry.ip for entry in status.pod_ips or ()] or [status.pod_ip]
    return Pod(
        namespace=item.metadata.namespace,
        name=item.metadata.name,
        addresses=_addresses(ips),
        node=item.spec.node_name if item.spec else None,
        host_network=bool(item.spec and item.spec.host_network),
        labels=item.metadata.labels or {},
        daemon_set=any(owner.kind == "DaemonSet" for owner in item.metadata.owner_references or ()),
    )


def _node(item: _Node) -> Node:
    spec, addresses = item.spec or _NodeSpec(), item.status.addresses if item.status else None
    by_type: dict[str, tuple[str, ...]] = {}
    for entry in addresses or ():
        by_type[entry.type] = (*by_type.get(entry.type, ()), entry.address)
    networks = []
    for text in spec.pod_cidrs or ([spec.pod_cidr] if spec.pod_cidr else []):
        try:
            networks.append(ip_network(text, strict=False))
        except ValueError:
            continue
    return Node(
        name=item.metadata.name,
        addresses=by_type,
        pod_networks=tuple(networks),
        unschedulable=bool(spec.unschedulable)
        or any(taint.key == "node.kubernetes.io/unschedulable" for taint in spec.taints or ()),
        taints=tuple(taint.key for taint in spec.taints or ()),
        labels=item.metadata.labels or {},
    )
