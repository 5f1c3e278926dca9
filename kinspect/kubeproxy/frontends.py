"""The frontends that a node's rules know: where kube-proxy's rules, and hostPorts', let traffic in.

Read from the text of the rules, which kube-proxy always writes the same way (pkg/proxy/iptables:
``proxier.go``; hostPorts: the portmap plugin's ``CNI-DN-`` chains and kubelet's old ``KUBE-HP-``). No
rule is parsed for it: a node of a large cluster has tens of thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_network
from typing import Final

import msgspec

from kinspect.kubeproxy.names import ENDPOINT, LEADING_TO_ENDPOINTS, NAT, NODEPORTS, SERVICES
from kinspect.model.answer import Via
from kinspect.model.cluster import Service, ServicePort
from kinspect.model.packet import Address, read_address
from kinspect.model.rules import ChainName, Ruleset

_ADDRESS: Final = re.compile(r" -d (\S+)")
_PROTOCOL: Final = re.compile(r" -p (\w+)")
_PORT: Final = re.compile(r" --dports? (\d+)(?= |$)")
_COMMENT: Final = re.compile(r' --comment (?:"([^"]*)"|(\S+))')
_TARGET: Final = re.compile(r" -[jg] (\S+)")
_DNAT: Final = re.compile(r" --to-destination (\S+)")

# What kube-proxy writes behind the name of the service port, by the kind of frontend.
_WAYS: Final[tuple[tuple[str, Via], ...]] = (
    (" cluster IP", "clusterip"),
    (" external IP", "externalip"),
    (" loadbalancer IP", "loadbalancer"),
)
_TYPES: Final[dict[Via, str]] = {
    "clusterip": "ClusterIP",
    "nodeport": "NodePort",
    "loadbalancer": "LoadBalancer",
    "externalip": "ClusterIP",
}
_HOSTPORT_CHAINS: Final = ("CNI-DN-", "KUBE-HP-")


class Frontend(msgspec.Struct, frozen=True, kw_only=True):
    """An address and port that kube-proxy's rules take; ``address`` None: any of the node (a NodePort)."""

    via: Via
    address: Address | None
    port: int
    protocol: str  # upper case, as the API writes it
    name: str  # namespace/service:port by the rule's comment; empty if it has none
    chain: ChainName  # where the rule leads
    line: int
    text: str

    @property
    def service(self) -> tuple[str, str] | None:
        """Namespace and name of the service, by the comment."""
        namespace, slash, rest = self.name.partition("/")
        return (namespace, rest.partition(":")[0]) if slash else None


class HostPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the node that leads to one pod."""

    port: int
    protocol: str
    to: Address
    to_port: int | None
    chain: ChainName
    line: int
    text: str


def frontends(rules: Ruleset) -> Iterator[Frontend]:
    """All frontends of services, each once, in the order of the rules."""
    seen: set[tuple[Address | None, int, str]] = set()
    for chain in (SERVICES, NODEPORTS):
        for line, text in rules.lines(NAT, chain):
            found = _frontend(chain, line, text)
            if found is None:
                continue
            key = (found.address, found.port, found.protocol)
            if key not in seen:
                seen.add(key)
                yield found


def host_ports(rules: Ruleset) -> Iterator[HostPort]:
    """All hostPorts, in the order of the rules; a port that two pods had is there twice."""
    for chain in rules.chains(NAT):
        if not chain.startswith(_HOSTPORT_CHAINS):
            continue
        for line, text in rules.lines(NAT, chain):
            to, port, protocol = (_word(_DNAT, text), _word(_PORT, text), _word(_PROTOCOL, text))
            if to is None or port is None or protocol is None:
                continue
            address, to_port = _endpoint(to)
            if address is not None:
                yield HostPort(
                    port=int(port),
                    protocol=protocol.upper(),
                    to=address,
                    to_port=to_port,
                    chain=chain,
                    line=line,
                    text=text,
                )


class Owned:
    """The frontends that services of the API have: what is not among them, no service owns."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._addresses: set[tuple[Address, int, str]] = set()
        self._node_ports: set[tuple[int, str]] = set()
        for service in services:
            fronts = (*service.cluster_ips, *service.external_ips, *service.load_balancer_ips)
            for port in service.ports:
                self._addresses.update((address, port.port, port.protocol) for address in fronts)
                if port.node_port is not None:
                    self._node_ports.add((port.node_port, port.protocol))

    def __contains__(self, frontend: Frontend) -> bool:
        if frontend.address is None:
            return (frontend.port, frontend.protocol) in self._node_ports
        return (frontend.address, frontend.port, frontend.protocol) in self._addresses


def as_service(frontend: Frontend) -> Service:
    """What the rules say of the service that a frontend was of; the API has no such service, or port."""
    namespace, name = frontend.service or ("", f"port {frontend.port}")
    addresses = (frontend.address,) if frontend.address is not None else ()
    port = ServicePort(
        name=frontend.name.partition(":")[2],
        protocol=frontend.protocol,
        port=frontend.port,
        node_port=frontend.port if frontend.via == "nodeport" else None,
    )
    return Service(
        namespace=namespace,
        name=name,
        type=_TYPES[frontend.via],
        cluster_ips=addresses if frontend.via == "clusterip" else (),
        external_ips=addresses if frontend.via == "externalip" else (),
        load_balancer_ips=addresses if frontend.via == "loadbalancer" else (),
        ports=(port,),
        in_api=False,
    )


def _frontend(chain: ChainName, line: int, text: str) -> Frontend | None:
    target, port, protocol = _word(_TARGET, text), _word(_PORT, text), _word(_PROTOCOL, text)
    if target is None or port is None or protocol is None:
        return None
    if not target.startswith((*LEADING_TO_ENDPOINTS, ENDPOINT)):
        return None
    comment = _COMMENT.search(text)
    name = (comment.group(1) or comment.group(2) or "") if comment else ""
    address = None
    via: Via = "nodeport"
    if chain == SERVICES:
        address = _host(_word(_ADDRESS, text))
        if address is None:
            return None
        ending, via = next(
            ((ending, via) for ending, via in _WAYS if name.endswith(ending)), ("", "clusterip")
        )
        name = name.removesuffix(ending)
    return Frontend(
        via=via,
        address=address,
        port=int(port),
        protocol=protocol.upper(),
        name=name,
        chain=ChainName(target),
        line=line,
        text=text,
    )


def _word(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    return found.group(1) if found else None


def _host(text: str | None) -> Address | None:
    """The address of ``A/32`` or ``A/128``; None for a network."""
    if text is None:
        return None
    try:
        network = ip_network(text)
    except ValueError:
        return None
    return network.network_address if network.num_addresses == 1 else None


def _endpoint(text: str) -> tuple[Address | None, int | None]:
    """Address and port of ``10.42.0.5:80`` or ``[fd00::5]:80``."""
    host, colon, port = text.rpartition(":")
    if not colon or (":" in host and not host.startswith("[")):
        host, port = text, ""
    try:
        address = read_address(host.strip("[]"))
    except ValueError:  # a range, or a damaged rule
        return None, None
    return address, int(port) if port.isdecimal() else None
