"""The node of each address, according to the API and the nodes themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from functools import cached_property
from typing import Final

from kinspect.checks.common import Location, listed
from kinspect.model.answer import Outcome
from kinspect.model.cluster import Endpoint
from kinspect.model.host import Network
from kinspect.model.node import NodeState
from kinspect.model.packet import Address, read_address
from kinspect.model.traffic import Traffic
from kinspect.parse.api.cluster import Cluster

_ZONE: Final = "topology.kubernetes.io/zone"


class Locator:
    """Answers for one cluster; "not known" is an answer."""

    def __init__(self, cluster: Cluster, states: Mapping[str, NodeState]) -> None:
        self._cluster = cluster
        self._states = states

    @cached_property
    def zones(self) -> Mapping[str, str]:
        """The zone of each node that has one."""
        return {n.name: n.labels[_ZONE] for n in self._cluster.nodes.values() if _ZONE in n.labels}

    def of_daemon_set(self, traffic: Traffic, outcome: Outcome) -> bool:
        """Whether an outcome ends at a pod of a DaemonSet."""
        backend = outcome.backend
        if backend is None or backend.namespace is None or backend.pod is None:
            return False
        pod = self._cluster.pods.get((backend.namespace, backend.pod))
        return pod is not None and pod.daemon_set

    def locate(self, traffic: Traffic, outcome: Outcome) -> Location:
        """The node that an outcome ends on.

        The most reliable source first: the node itself, the endpoint's nodeName, an address of a node, a
        pod. The pod network of a node counts only if it contains all known pods: some networks
        ignore spec.podCIDR.
        """
        address = outcome.address
        assert address is not None
        if all(way.delivered for way in outcome.ways):
            return Location(traffic.trace.node)
        return self.at(address, listed(traffic, outcome))

    def at(self, address: Address, endpoint: Endpoint | None) -> Location:
        """The node that an address is on; ``endpoint`` is the service's at that address, if any."""
        if endpoint is not None and endpoint.node is not None:
            return Location(endpoint.node)
        if self._cluster.node_address(address):
            return Location(self._cluster.node_of(address))
        pod = self._cluster.pod_at(address)
        if pod is not None and pod.node is not None:
            return Location(pod.node)
        if address in self._own:
            return Location(self._own[address])
        if self._networks_tell:
            node = self._cluster.node_of(address)
            if node is not None:
                return Location(node)
        routed = self._by_routes(address)
        if routed is not None:
            return Location(routed)
        # An endpoint without node and pod was written by hand, for what is not on a node.
        return Location(None, known=endpoint is not None and endpoint.pod is None)

    def without_pod(self, address: Address) -> bool:
        """Whether it is an address of a node's pod network that no pod has."""
        cluster = self._cluster
        if cluster.node_address(address) or cluster.pod_at(address) is not None or address in self._own:
            return False
        return cluster.node_of(address) is not None or self._by_routes(address) is not None

    def _by_routes(self, address: Address) -> str | None:
        """The node that has the address's network, by the nodes' routes.

        None if they do not agree with each other, or not with where pods are.
        """
        return self._routed(address) if self._routes_tell else None

    @cached_property
    def _routes_tell(self) -> bool:
        """Whether no known pod is on another node than the one that routes have its address on."""
        return all(
            self._routed(address) in (None, pod.node)
            for pod in self._cluster.pods.values()
            if not pod.host_network and pod.node is not None
            for address in pod.addresses
        )

    def _routed(self, address: Address) -> str | None:
        holding = [(network, node) for network, node in self._pod_networks if address in network]
        longest = max((network.prefixlen for network, _ in holding), default=0)
        nodes = {node for network, node in holding if network.prefixlen == longest}
        return nodes.pop() if len(nodes) == 1 else None

    @cached_property
    def _pod_networks(self) -> list[tuple[Network, str]]:
        """Networks with the nodes that have them, by every node's routes.

        A node's own: on a bridge, or behind an interface whose other end is in another namespace.
        Another node's: by way of an address that only that node has. Networks with addresses of nodes
        are those between nodes.
        """
        own = dict(self._own)
        for node in self._cluster.nodes.values():
            for text in (*node.internal(4), *node.internal(6)):
                with contextlib.suppress(ValueError):
                    own[read_address(text)] = node.name
        between = [a for a in own if self._cluster.node_address(a)]
        found: list[tuple[Network, str]] = []
        for name, state in self._states.items():
            links = state.host.links or {}
            bridges = {link.master for link in links.values() if link.master is not None}
            for route in state.host.routes or ():
                if route.type != "unicast" or route.table != "main" or route.several:
                    continue
                if any(address in route.destination for address in between):
                    continue
                link = links.get(route.dev or "")
                if route.gateway is not None:
                    holder = own.get(route.gateway)
                else:
                    to_pods = link is not None and (
                        link.elsewhere or link.kind == "bridge" or link.name in bridges
                    )
                    holder = name if to_pods else None
                if holder is not None:
                    found.append((route.destination, holder))
        return found

    @cached_property
    def _own(self) -> Mapping[Address, str]:
        """Addresses that exactly one of the nodes read has."""
        holders: dict[Address, set[str]] = {}
        for name, state in self._states.items():
            for link in (state.host.links or {}).values():
                for own in link.addresses:
                    if own.scope == "global" and not link.loopback:
                        holders.setdefault(own.address, set()).add(name)
        return {address: next(iter(names)) for address, names in holders.items() if len(names) == 1}

    @cached_property
    def _networks_tell(self) -> bool:
        nodes = self._cluster.nodes
        for pod in self._cluster.pods.values():
            home = nodes.get(pod.node or "")
            if home is None or pod.host_network:
                continue
            for address in pod.addresses:
                networks = [n for n in home.pod_networks if n.version == address.version]
                if networks and not any(address in network for network in networks):
                    return False
        return True
