"""The frontends that a node's rules know: where kube-proxy's rules, and hostPorts', let traffic in.

Read from the text of the rules, which kube-proxy always writes the same way: the address and port, and
a comment that names the service port (``default/web:http cluster IP``, ``… loadbalancer IP``, ``…
external IP``, ``… has no endpoints``; a NodePort's comment is the name alone). Sources:
pkg/proxy/iptables/proxier.go; hostPorts: the portmap plugin's ``CNI-DN-`` chains and kubelet's old
``KUBE-HP-``. No rule is parsed for it: a node of a large cluster has tens of thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_network
from typing import Final, Protocol

import msgspec

from kinspect.kubeproxy import names
from kinspect.model.answer import Via
from kinspect.model.cluster import Service, ServicePort
from kinspect.model.node import NodeState
from kinspect.model.packet import PROTOCOLS, Address, read_address
from kinspect.model.rules import ChainName, Ruleset, TableName

_COMMENT: Final = re.compile(
    r'--comment "(?P<space>[a-z0-9.-]+)/(?P<name>[a-z0-9.-]+)(?::(?P<port>[a-z0-9.-]*))?(?P<what>[^"]*)"'
)
_BARE: Final = re.compile(
    r"--comment (?P<space>[a-z0-9.-]+)/(?P<name>[a-z0-9.-]+)(?::(?P<port>[a-z0-9.-]*))?(?P<what>)(?=\s|$)"
)
_ADDRESS: Final = re.compile(r" -d (\S+)")
_PROTOCOL: Final = re.compile(r" -p (\w+)")
_PORT: Final = re.compile(r" --dports? (\d{1,5})(?= |$)")
_DNAT: Final = re.compile(r" --to-destination (\S+)")
_TARGET: Final = re.compile(r" -[jg] (\S+)")
_PODS: Final = re.compile(r" ! -s (\S+) -d \S+ .*cluster IP\" .*-j KUBE-MARK-MASQ")

# What kube-proxy writes behind the name of the service port, by the kind of frontend.
_WAYS: Final[tuple[tuple[str, Via], ...]] = (
    ("cluster IP", "clusterip"),
    ("external IP", "externalip"),
    ("loadbalancer IP", "loadbalancer"),
)
_WAY_NAMES: Final[dict[Via, str]] = {
    "clusterip": "cluster IP",
    "nodeport": "NodePort",
    "loadbalancer": "load balancer",
    "externalip": "external IP",
}
_SENDING: Final[tuple[tuple[TableName, ChainName], ...]] = (
    (names.NAT, names.SERVICES),
    (names.NAT, names.NODEPORTS),
)
_REFUSING: Final[tuple[tuple[TableName, ChainName], ...]] = (
    (names.FILTER, names.SERVICES),
    (names.FILTER, names.EXTERNAL_SERVICES),
)
_TYPES: Final[dict[Via, str]] = {
    "clusterip": "ClusterIP",
    "nodeport": "NodePort",
    "loadbalancer": "LoadBalancer",
    "externalip": "ClusterIP",
}
_HOSTPORT_CHAINS: Final = ("CNI-DN-", "KUBE-HP-")


class _Services(Protocol):
    """The services of the API."""

    def has_service(self, key: tuple[str, str]) -> bool:
        """Whether there is a service of this namespace and name."""


class Frontend(msgspec.Struct, frozen=True):
    """A way into a service that rules know. ``address`` is None for a NodePort.

    ``namespace`` and ``service`` are what the rule's comment says; without a comment the name is the
    port's. ``protocol`` is upper case, as the API writes it.
    """

    namespace: str
    service: str
    port_name: str
    via: Via
    address: Address | None
    port: int
    protocol: str

    @property
    def protocol_number(self) -> int:
        """The protocol's number."""
        return PROTOCOLS[self.protocol.lower()]

    def __str__(self) -> str:
        way = _WAY_NAMES[self.via]
        if self.address is None:
            return f"{way} {self.port}"
        host = str(self.address) if self.address.version == 4 else f"[{self.address}]"
        return f"{way} {host}:{self.port}"


class HostPort(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the node that leads to one pod."""

    port: int
    protocol: str
    to: Address
    to_port: int | None
    chain: ChainName
    line: int
    text: str


def frontends(rules: Ruleset, *, refusing: bool = False) -> list[Frontend]:
    """All frontends that kube-proxy's rules send on, each once, in the order of the rules.

    With ``refusing`` also those that they refuse, because the service has no endpoints.
    """
    found: dict[Frontend, None] = {}
    for table, chain in (*_SENDING, *(_REFUSING if refusing else ())):
        for _, text in rules.lines(table, chain):
            frontend = _frontend(text, chain)
            if frontend is not None:
                found[frontend] = None
    return list(found)


def host_ports(rules: Ruleset) -> Iterator[HostPort]:
    """All hostPorts, in the order of the rules; a port that two pods had is there twice."""
    for chain in rules.chains(names.NAT):
        if not chain.startswith(_HOSTPORT_CHAINS):
            continue
        for line, text in rules.lines(names.NAT, chain):
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


def only_in_rules(states: Iterable[NodeState], cluster: _Services) -> set[tuple[str, str]]:
    """Namespace and name of services that nodes' rules know, and the API does not have."""
    return {
        key
        for state in states
        for rulesets in state.rulesets.values()
        for rules in rulesets
        for frontend in frontends(rules)
        if not cluster.has_service(key := (frontend.namespace, frontend.service))
    }


def as_service(frontend: Frontend) -> Service:
    """What the rules say of the service that a frontend was of; the API has no such service, or port."""
    addresses = (frontend.address,) if frontend.address is not None else ()
    port = ServicePort(
        name=frontend.port_name,
        protocol=frontend.protocol,
        port=frontend.port,
        node_port=frontend.port if frontend.via == "nodeport" else None,
    )
    return Service(
        namespace=frontend.namespace,
        name=frontend.service,
        type=_TYPES[frontend.via],
        cluster_ips=addresses if frontend.via == "clusterip" else (),
        external_ips=addresses if frontend.via == "externalip" else (),
        load_balancer_ips=addresses if frontend.via == "loadbalancer" else (),
        ports=(port,),
        in_api=False,
    )


def pod_network(rules: Ruleset) -> str | None:
    """The network that kube-proxy takes for the pods' (--cluster-cidr), as its rules have it."""
    chain = rules.chain(names.NAT, names.SERVICES)
    for chain_rule in _to_services(rules) if chain is not None else ():
        found = _PODS.search(chain_rule)
        if found is not None:
            try:
                return str(ip_network(found[1], strict=False))
            except ValueError:
                return None
    return None


def _to_services(rules: Ruleset) -> Iterator[str]:
    """Rules that masquerade what does not come from pods: in KUBE-SERVICES, since 1.22 in KUBE-SVC-…."""
    seen: list[Sequence[str]] = []
    chain = rules.chain(names.NAT, names.SERVICES)
    for rule in chain.rules() if chain is not None else ():
        yield rule.text
        target = rule.target_text.rpartition(" ")[2]
        if target.startswith(names.SERVICE) and len(seen) < 20:
            own = rules.chain(names.NAT, ChainName(target))
            texts = [each.text for each in own.rules()] if own is not None else []
            seen.append(texts)
            yield from texts


def _frontend(text: str, chain: ChainName) -> Frontend | None:
    target, port, protocol = _word(_TARGET, text), _word(_PORT, text), _word(_PROTOCOL, text)
    if target is None or port is None or protocol not in PROTOCOLS:
        return None
    comment = _COMMENT.search(text) or _BARE.search(text)
    words = comment["what"] if comment else ""
    refuses = "has no endpoints" in words or "has no local endpoints" in words
    if not refuses and not target.startswith((*names.LEADING_TO_ENDPOINTS, names.ENDPOINT)):
        return None
    address = _host(_word(_ADDRESS, text))
    via: Via = "nodeport"
    if address is not None and chain != names.NODEPORTS:
        via = next((way for ending, way in _WAYS if ending in words), "clusterip")
    elif chain == names.NODEPORTS or "--dst-type LOCAL" in text:
        address = None
    else:
        return None
    return Frontend(
        comment["space"] if comment else "",
        comment["name"] if comment else f"port {port}",
        (comment["port"] or "") if comment else "",
        via,
        address,
        int(port),
        protocol.upper(),
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
