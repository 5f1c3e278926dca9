"""Which packets to send through which nodes: a service's ways in, as packets.

NodePort, load-balancer and external IPs are entered by an outside client at each node; a cluster
IP by a pod on each node, unless the request names a sender.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from kinspect.errors import CallError, NotFound
from kinspect.model.answer import Via
from kinspect.model.cluster import Node, Pod, Service, ServicePort
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined, together
from kinspect.model.node import NodeState
from kinspect.model.packet import (
    CLIENT_PORT,
    OUTSIDE_CLIENT,
    PROTOCOLS,
    TCP,
    WITH_PORTS,
    Address,
    CtState,
    Family,
    Packet,
    TcpFlag,
    read_address,
)  # fmt: skip
from kinspect.netfilter.routing import route
from kinspect.netfilter.source_address import own_source
from kinspect.netfilter.unknowns import the_same
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.user.target import FromAddress, FromNode, FromPod, Sender

AnySender = Literal["pod", "process"]
"""A class of senders: some pod on each entry node, or a process on it."""

VIAS: Final[tuple[Via, ...]] = ("clusterip", "nodeport", "loadbalancer", "externalip")


class Probe(msgspec.Struct, frozen=True):
    """A packet to trace at a node."""

    node: str
    via: Via
    packet: Packet
    origin: str
    port: ServicePort | None = None
    notes: tuple[str, ...] = ()


class Probes(msgspec.Struct, frozen=True):
    """Packets to trace, and what could not be sent, with the reasons."""

    probes: tuple[Probe, ...] = ()
    diagnostics: Diagnostics = NONE


class _Origin(msgspec.Struct, frozen=True):
    """The sender at a node; ``local`` if it is the node itself."""

    src: Address
    local: bool
    text: str


@dataclass(slots=True)
class Prober:
    """Makes the probes of one request."""

    cluster: Cluster
    states: Mapping[str, NodeState]
    families: Sequence[Family] = (4, 6)
    sender: Sender | AnySender | None = None
    namespace: str = "default"
    state: CtState = CtState.NEW
    iif: str | None = None
    _came_in: dict[tuple[str, Address], str | None] = field(default_factory=dict)

    def of_service(self, service: Service, vias: Sequence[Via], ports: Sequence[ServicePort]) -> Probes:
        """Every way into a service's ports."""
        return joined(
            part
            for via in vias
            for service_port in ports
            for family in self.families
            if not service.families or family in service.families
            for part in self._of_frontend(service, service_port, via, family)
        )

    def _of_frontend(self, service: Service, port: ServicePort, via: Via, family: Family) -> Iterator[Probes]:
        number = PROTOCOLS[port.protocol.lower()]
        if via == "nodeport":
            if port.node_port is not None:
                for name, address in self._node_addresses(family):
                    yield self.to_address(address, port.node_port, number, via, port, nodes=[name])
            return
        frontends: Iterable[Address] = {
            "clusterip": service.cluster_ips,
            "loadbalancer": service.load_balancer_ips,
            "externalip": service.external_ips,
        }[via]
        for frontend in frontends:
            if frontend.version == family:
                yield self.to_address(frontend, port.port, number, via, port, service=service)

    def to_frontend(self, service: Service, via: Via, family: Family, node: str) -> Probes:
        """The one way into a service that has one port, at one node."""
        (port,) = service.ports
        number = PROTOCOLS.get(port.protocol.lower())
        if number is None:
            return Probes()
        if via == "nodeport":
            address = self._node_address(node, family)
            fronts: tuple[Address, ...] = (address,) if address is not None else ()
        else:
            fronts = (*service.cluster_ips, *service.external_ips, *service.load_balancer_ips)
        return joined(
            self.to_address(front, port.port, number, via, port, service=service, nodes=[node])
            for front in fronts
            if front.version == family
        )

    def to_address(
        self,
        dst: Address,
        dport: int | None,
        protocol: int,
        via: Via,
        port: ServicePort | None = None,
        *,
        service: Service | None = None,
        nodes: Sequence[str] | None = None,
    ) -> Probes:
        """A packet to one address, at the nodes where the sender's packets enter."""
        inside = via == "clusterip"
        probes: list[Probe] = []
        skipped: list[Undetermined] = []
        for name in self._entered(nodes):
            origin = self._source(name, dst, inside, service)
            if origin is None:
                continue
            if isinstance(origin, Undetermined):
                skipped.append(origin)
                continue
            iif = None if origin.local else self.iif or self._interface(name, origin.src)
            packet = Packet(
                src=origin.src,
                dst=dst,
                protocol=protocol,
                sport=CLIENT_PORT if protocol in WITH_PORTS else None,
                dport=dport,
                tcp_flags=TcpFlag.SYN if protocol == TCP else None,
                iif=iif,
                local=origin.local,
                state=self.state,
            )
            probes.append(Probe(name, via, packet, origin.text, port))
        return Probes(tuple(probes), Diagnostics(tuple(skipped)) if skipped else NONE)

    def _interface(self, name: str, src: Address) -> str | None:
        """The interface by which a node gets packets from an address; cached, as addresses are few."""
        key = (name, src)
        if key not in self._came_in:
            self._came_in[key] = came_in(src, self.states[name])
        return self._came_in[key]

    def _entered(self, nodes: Sequence[str] | None) -> list[str]:
        """The nodes at which the sender's packet meets rules first."""
        names = [name for name in (nodes if nodes is not None else self.states) if name in self.states]
        match self.sender:
            case FromNode(node):
                return [name for name in names if name == node]
            case FromPod() as sender:
                pod = self._pod(sender)
                return [name for name in names if name == pod.node]
            case FromAddress(address):
                home = self.cluster.node_of(address)
                return names if home is None else [name for name in names if name == home]
            case _:
                return names

    def _source(
        self, name: str, dst: Address, inside: bool, service: Service | None
    ) -> _Origin | Undetermined | None:
        """The sender at a node; None if it sends nothing of this family."""
        family: Family = 4 if dst.version == 4 else 6
        match self.sender:
            case "pod":
                return self._some_pod(name, family, service)
            case FromNode() | "process":
                node = name
                own = own_source(dst, self.states[node].host) or self._node_address(node, family)
                if own is None:
                    return _not_sent(f"{node} has no address to send from to {dst}", node)
                return _Origin(own, True, f"a process on {node}")
            case FromPod() as sender:
                pod = self._pod(sender)
                addresses = [a for a in pod.addresses if a.version == family]
                if not addresses:
                    return _not_sent(f"pod {pod.namespace}/{pod.name} has no IPv{family} address", name)
                return _Origin(addresses[0], pod.host_network, f"pod {pod.namespace}/{pod.name}")
            case FromAddress(address):
                if address.version != family:
                    return None
                local = self.states[name].host.is_local(address) is True
                return _Origin(address, local, f"a process on {name}" if local else str(address))
            case None:
                if not inside:
                    return _Origin(OUTSIDE_CLIENT[family], False, "an outside client")
                return self._some_pod(name, family, service)

    def _pod(self, sender: FromPod) -> Pod:
        namespace = sender.namespace or self.namespace
        pod = self.cluster.pods.get((namespace, sender.name))
        if pod is None:
            raise NotFound(
                f"there is no pod {namespace}/{sender.name}",
                hint=f"kubectl get pods -n {namespace} lists them",
            )
        if pod.node is None:
            raise CallError(f"pod {namespace}/{sender.name} is not on a node yet")
        return pod

    def _some_pod(self, name: str, family: Family, service: Service | None) -> _Origin | Undetermined:
        """An address of a pod on the node that is not an endpoint of the service: it does not call itself."""
        own = self.cluster.endpoint_addresses(service.key) if service else frozenset()
        node = self.cluster.nodes.get(name)
        for network in node.pod_networks if node else ():
            if network.version != family:
                continue
            # The first addresses of a network are often the bridge's and real pods'.
            first = min(200, network.num_addresses // 2)
            for number in range(first, min(network.num_addresses - 1, first + 300)):
                candidate = network[number]
                if candidate not in own and self.states[name].host.is_local(candidate) is not True:
                    return _Origin(candidate, False, f"a pod on {name}")
        for pod in self.cluster.pods.values():
            if pod.node == name and not pod.host_network:
                for address in pod.addresses:
                    if address.version == family and address not in own:
                        return _Origin(address, False, f"pod {pod.namespace}/{pod.name}")
        for address in sorted(own, key=int):
            if address.version == family and self.cluster.node_of(address) == name:
                return _Origin(address, False, f"a pod on {name} that is an endpoint itself")
        return _not_sent(
            f"{name}: no address of a pod on it is known for IPv{family}: give one with --from ADDRESS",
            name,
            answered_by="--from ADDRESS",
        )

    def _node_addresses(self, family: Family) -> Iterator[tuple[str, Address]]:
        for name in self.states:
            address = self._node_address(name, family)
            if address is not None:
                yield name, address

    def _node_address(self, name: str, family: Family) -> Address | None:
        """The node's internal address, else the first of an interface that others can reach."""
        node: Node | None = self.cluster.nodes.get(name)
        for text in node.internal(family) if node else ():
            return read_address(text)
        for link in (self.states[name].host.links or {}).values():
            for own in link.addresses:
                if own.address.version == family and own.scope == "global" and not link.loopback:
                    return own.address
        return None


def joined(parts: Iterable[Probes]) -> Probes:
    """All of them as one."""
    every = list(parts)
    return Probes(
        tuple(probe for part in every for probe in part.probes),
        together(part.diagnostics for part in every),
    )


def _not_sent(text: str, node: str, answered_by: str | None = None) -> Undetermined:
    return Undetermined(text=text, code="not-sent", node=node, answered_by=answered_by)


def ports_of(service: Service, wanted: str | None) -> Sequence[ServicePort]:
    """All ports, or the one of a name or number. Raises NotFound."""
    if wanted is None:
        return service.ports
    found = [port for port in service.ports if wanted in (port.name, str(port.port), str(port.node_port))]
    if not found:
        have = ", ".join(f"{port.port}{f' ({port.name})' if port.name else ''}" for port in service.ports)
        raise NotFound(f"service {service} has no port {wanted}", hint=f"it has: {have or 'none'}")
    return found


def came_in(src: Address, state: NodeState) -> str | None:
    """The interface by which a packet from there comes in: the one that leads back to it.

    None if that is not known, or several do.
    """
    decision = route(src, state.host)
    if decision is None:
        return None
    dev = the_same(decision, lambda hop: hop.dev if hop.type == "unicast" else None)
    return dev if isinstance(dev, str) else None


def default_vias(service: Service, sender: Sender | None) -> Sequence[Via]:
    """The default way in of the service's type; from within the cluster, its cluster IP."""
    if isinstance(sender, FromNode | FromPod) or service.type == "ClusterIP":
        return ("clusterip",)
    if service.type == "LoadBalancer":
        return ("loadbalancer",) if service.load_balancer_ips else ("nodeport",)
    return ("nodeport",)
