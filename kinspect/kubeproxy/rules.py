"""The rules that kube-proxy writes, as iptables-save would print them.

Follows ``syncProxyRules`` (pkg/proxy/iptables/proxier.go of Kubernetes 1.36), service port by
service port. The result is text, so that one parser reads generated and recorded
rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address, ip_network
from math import floor
from typing import Final

from kinspect.kubeproxy import names
from kinspect.kubeproxy.settings import INVALID_COUNTER, LOCALHOST_COUNTER, LOCALNET, LOOPBACK, Settings
from kinspect.kubeproxy.usable import Place, Usable, of_port, reachable_from_outside, usable
from kinspect.model.cluster import Endpoint, Node, Service, ServicePort
from kinspect.model.packet import Address, Family, endpoint_text

LARGE: Final = 1000  # endpoints over all services, beyond which their rules have no comments
_DRAWS: Final = 2**31
_RECENT: Final[Mapping[Family, str]] = {
    4: "--mask 255.255.255.255 --rsource",
    6: "--mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff --rsource",
}
_REJECT: Final[Mapping[Family, str]] = {
    4: "REJECT --reject-with icmp-port-unreachable",
    6: "REJECT --reject-with icmp6-port-unreachable",
}
_PREFIX: Final[Mapping[Family, int]] = {4: 32, 6: 128}


@dataclass(slots=True)
class Written:
    """Chains of the tables nat and filter, by name, with their rules in order."""

    nat: dict[str, list[str]] = field(default_factory=dict)
    filter: dict[str, list[str]] = field(default_factory=dict)

    def table(self, name: str) -> dict[str, list[str]]:
        """The chains of a table."""
        return self.nat if name == "nat" else self.filter

    def text(self) -> str:
        """The chains as iptables-save prints them, built-in ones and counters apart."""
        parts = []
        for table, chains in (("filter", self.filter), ("nat", self.nat)):
            ordered = sorted(chains)
            parts.append(f"*{table}\n")
            parts += [f":{chain} - [0:0]\n" for chain in ordered]
            parts += ["".join(f"{rule}\n" for rule in chains[chain]) for chain in ordered]
            parts.append("COMMIT\n")
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Here:
    """The kube-proxy whose rules are written: its node, family and settings.

    ``large``: the cluster has so many endpoints that their rules have no comments. ``addresses``
    are the node's own.
    """

    place: Place
    settings: Settings
    large: bool = False
    addresses: tuple[Address, ...] = ()

    @property
    def family(self) -> Family:
        """4 or 6."""
        return self.settings.family


def place_of(node: Node) -> Place:
    """Where a node's kube-proxy runs."""
    return Place(node.name, node.labels.get("topology.kubernetes.io/zone"))


def served(service: Service, family: Family) -> bool:
    """Whether kube-proxy writes rules of a family for a service."""
    if service.headless or service.type == "ExternalName" or service.other_proxy:
        return False
    return _of_family(service.cluster_ips, family) is not None


def everything(services: Iterable[tuple[Service, Sequence[Endpoint]]], here: Here) -> Written:
    """All chains of kube-proxy on a node, for services and their endpoints."""
    written = fixed(here)
    for service, endpoints in services:
        for port in service.ports:
            write_port(written, service, port, of_port(endpoints, port, here.family), here)
    written.nat[names.SERVICES] += last_rules(here)
    return written


def fixed(here: Here) -> Written:
    """The chains that do not depend on services, and empty ones for the rules of all services."""
    settings = here.settings
    mark = f"{settings.mark:#x}"
    marked, known = f"-m mark --mark {mark}/{mark}", "-m conntrack --ctstate RELATED,ESTABLISHED"
    masquerade = f"MASQUERADE{' --random-fully' if settings.random_fully else ''}"
    written = Written()
    written.nat = {
        names.SERVICES: [],
        names.NODEPORTS: [],
        names.POSTROUTING: [
            f"-A {names.POSTROUTING} -m mark ! --mark {mark}/{mark} -j RETURN",
            f"-A {names.POSTROUTING} -j MARK --set-xmark {mark}/0x0",
            f"-A {names.POSTROUTING} {_comment('kubernetes service traffic requiring SNAT')} -j {masquerade}",
        ],
        names.MARK_MASQ: [f"-A {names.MARK_MASQ} -j MARK --set-xmark {mark}/{mark}"],
        names.CANARY: [],
    }
    invalid = f"-m nfacct --nfacct-name  {INVALID_COUNTER} " if settings.invalid_counter else ""
    written.filter = {
        names.SERVICES: [],
        names.EXTERNAL_SERVICES: [],
        names.NODEPORTS: [],
        names.PROXY_FIREWALL: [],
        names.FORWARD: [
            f"-A {names.FORWARD} {_comment('kubernetes forwarding rules')} {marked} -j ACCEPT",
            f"-A {names.FORWARD} {_comment('kubernetes forwarding conntrack rule')} {known} -j ACCEPT",
        ],
        names.CANARY: [],
    }
    if settings.invalid_rule:
        drop = f"-A {names.FORWARD} -m conntrack --ctstate INVALID {invalid}-j DROP"
        written.filter[names.FORWARD].insert(0, drop)
    if here.family == 4 and settings.localnet_rule:
        outside = f"! -s 127.0.0.0/8 -d 127.0.0.0/8 {_comment(LOCALNET)}"
        unknown = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
        written.filter[names.FIREWALL] = [f"-A {names.FIREWALL} {outside} {unknown} -j DROP"]
    return written


def last_rules(here: Here) -> list[str]:
    """The end of KUBE-SERVICES in nat: packets to the node itself may be for a NodePort."""
    settings = here.settings
    comment = f'-m comment --comment "{names.LAST_RULE}"'
    jump = f"-j {names.NODEPORTS}"
    if settings.node_port_addresses is not None:
        prefix = _PREFIX[here.family]
        return [
            f"-A {names.SERVICES} -d {address}/{prefix} {comment} {jump}"
            for address in settings.node_port_addresses
        ]
    loopback = "" if settings.localhost_node_ports else f"! -d {LOOPBACK[here.family]} "
    return [f"-A {names.SERVICES} {loopback}{comment} -m addrtype --dst-type LOCAL {jump}"]


def write_port(
    written: Written, service: Service, port: ServicePort, endpoints: Sequence[Endpoint], here: Here
) -> None:
    """Add the rules of one service port; ``endpoints`` are those of ``of_port``.

    Rules in chains of many services (``names.SHARED``) are added before ``last_rules``.
    """
    if served(service, here.family):
        _Port(written, service, port, usable(service, port, endpoints, here.place, here.family), here).write()


@dataclass
class _Port:
    """One service port on its way into the rules."""

    written: Written
    service: Service
    port: ServicePort
    usable: Usable
    here: Here

    def __post_init__(self) -> None:
        service, port, family = self.service, self.port, self.here.family
        self.name = names.service_port_name(service.namespace, service.name, port.name)
        self.protocol = port.protocol.lower()
        self.key = self.name + self.protocol
        self.hash = names.hashed(self.key)
        cluster_ip = _of_family(service.cluster_ips, family)
        assert cluster_ip is not None
        self.cluster_ip = cluster_ip
        self.balancers = [a for a in service.load_balancer_ips if a.version == family]
        self.externals = [a for a in service.external_ips if a.version == family]
        self.outside = reachable_from_outside(service, port, family)
        self.ranges = _ranges(service.source_ranges, family)
        self.internal_local = service.internal_policy == "Local"
        self.external_local = self.outside and service.external_policy == "Local"

    def write(self) -> None:
        """All its rules."""
        usable = self.usable
        has_internal = bool(usable.local) if self.internal_local else usable.exist
        has_external = bool(usable.local) if self.external_local else usable.exist
        guarded = bool(usable.exist and self.balancers and self.ranges)
        self._frontends(has_internal, has_external, guarded)
        if has_internal:
            self._masquerade_internal()
        if usable.exist and self.outside:
            self._external(has_external)
        if guarded:
            self._firewall()
        written: set[str] = set()
        if usable.cluster:
            self._choose(names.SERVICE, usable.cluster, written)
        if usable.local:
            self._choose(names.LOCAL, usable.local, written)

    def _nat(self, chain: str, rule: str) -> None:
        self.written.nat.setdefault(chain, []).append(f"-A {chain} {rule}")

    def _filter(self, chain: str, rule: str) -> None:
        self.written.filter.setdefault(chain, []).append(f"-A {chain} {rule}")

    def _frontends(self, has_internal: bool, has_external: bool, guarded: bool) -> None:
        """Rules in the chains that all services share."""
        name, proto, number, external = self.name, self.protocol, self.port.port, names.EXTERNAL + self.hash
        exist = self.usable.exist
        internal = names.LOCAL if self.internal_local else names.SERVICE
        tail = f"-m {proto} --dport {number}"
        if has_internal:
            to = f"{self._to(self.cluster_ip)} {_comment(f'{name} cluster IP')} {tail}"
            self._nat(names.SERVICES, f"{to} -j {internal}{self.hash}")
        else:
            to = f"{self._to(self.cluster_ip)} {self._refusal()} {tail}"
            self._filter(names.SERVICES, f"{to} -j {self._refuse()}")
        balancer = names.SOURCE_RANGES + self.hash if guarded else external
        fronts = [(a, "external IP", external) for a in self.externals]
        fronts += [(a, "loadbalancer IP", balancer) for a in self.balancers]
        for address, what, chain in fronts:
            to = self._to(address)
            if exist:
                self._nat(names.SERVICES, f"{to} {_comment(f'{name} {what}')} {tail} -j {chain}")
            if guarded and chain == balancer and what == "loadbalancer IP":
                comment = _comment(f"{name} traffic not accepted by {chain}")
                self._filter(names.PROXY_FIREWALL, f"{to} {comment} {tail} -j DROP")
            if not has_external:
                refused = f"{to} {self._refusal()} {tail} -j {self._refuse()}"
                self._filter(names.EXTERNAL_SERVICES, refused)
        if self.port.node_port:
            self._node_port(self.port.node_port, external, has_external)
        if self._health_checked() and self.service.health_check_node_port:
            comment = _comment(f"{name} health check node port")
            check = f"-p tcp {comment} -m tcp --dport {self.service.health_check_node_port} -j ACCEPT"
            self._filter(names.NODEPORTS, check)

    def _node_port(self, number: int, external: str, has_external: bool) -> None:
        proto, settings = self.protocol, self.here.settings
        if self.usable.exist:
            rule = f"-p {proto} {_comment(self.name)} -m {proto} --dport {number}"
            if self.here.family == 4 and settings.localhost_counter:
                counter = f"-m nfacct --nfacct-name  {LOCALHOST_COUNTER}"
                self._nat(names.NODEPORTS, f"-d 127.0.0.0/8 {rule} {counter} -j {external}")
            self._nat(names.NODEPORTS, f"{rule} -j {external}")
        if not has_external:
            rule = f"-p {proto} {self._refusal()} -m addrtype --dst-type LOCAL -m {proto} --dport {number}"
            self._filter(names.EXTERNAL_SERVICES, f"{rule} -j {self._refuse()}")

    def _health_checked(self) -> bool:
        return self.service.type == "LoadBalancer" and self.service.external_policy == "Local"

    def _to(self, address: Address) -> str:
        return f"-d {address}/{_PREFIX[self.here.family]} -p {self.protocol}"

    def _refusal(self) -> str:
        return _comment(f"{self.name} has no {'local ' if self.usable.exist else ''}endpoints")

    def _refuse(self) -> str:
        return "DROP" if self.usable.exist else _REJECT[self.here.family]

    def _masquerade_internal(self) -> None:
        """Traffic to the cluster IP that is not from a pod must return by this node."""
        settings = self.here.settings
        detector = settings.detector
        if not settings.masquerade_all and detector is None:
            return
        chain = (names.LOCAL if self.internal_local else names.SERVICE) + self.hash
        source = interface = ""
        if not settings.masquerade_all and detector is not None:
            if detector.option == "-s":
                source = f"! -s {detector.value} "
            else:
                interface = f"! -i {detector.value} "
        address = f"{self.cluster_ip}/{_PREFIX[self.here.family]}"
        comment = _comment(f"{self.name} cluster IP")
        rest = f"-p {self.protocol} {comment} -m {self.protocol} --dport {self.port.port}"
        self._nat(chain, f"{source}-d {address} {interface}{rest} -j {names.MARK_MASQ}")

    def _external(self, has_external: bool) -> None:
        name, chain = self.name, names.EXTERNAL + self.hash
        what = f"{name} external destinations"
        if not self.external_local:
            self._nat(chain, f"{_comment(f'masquerade traffic for {what}')} -j {names.MARK_MASQ}")
        else:
            everywhere = names.SERVICE + self.hash
            own = "-m addrtype --src-type LOCAL"
            if self.here.settings.detector is not None:
                pods = f"{self.here.settings.detector} {_comment(f'pod traffic for {what}')}"
                self._nat(chain, f"{pods} -j {everywhere}")
            self._nat(chain, f"{_comment(f'masquerade LOCAL traffic for {what}')} {own} -j {names.MARK_MASQ}")
            self._nat(chain, f"{_comment(f'route LOCAL traffic for {what}')} {own} -j {everywhere}")
        if has_external:
            self._nat(chain, f"-j {names.LOCAL if self.external_local else names.SERVICE}{self.hash}")

    def _firewall(self) -> None:
        """LoadBalancerSourceRanges."""
        chain, jump = names.SOURCE_RANGES + self.hash, f"-j {names.EXTERNAL}{self.hash}"
        comment = _comment(f"{self.name} loadbalancer IP")
        for network in self.ranges:
            source = "" if network.endswith("/0") else f"-s {network} "  # as iptables-save omits it
            self._nat(chain, f"{source}{comment} {jump}")
        # A node that has the balancer's address sends from that address.
        networks = [ip_network(network) for network in self.ranges]
        if any(own in network for own in self.here.addresses for network in networks):
            for address in self.balancers:
                self._nat(chain, f"-s {address}/{_PREFIX[self.here.family]} {comment} {jump}")
        dropped = f"other traffic to {self.name} will be dropped by {names.PROXY_FIREWALL}"
        self._nat(chain, _comment(dropped))

    def _choose(self, prefix: str, endpoints: Sequence[Endpoint], done: set[str]) -> None:
        """The rules that choose an endpoint, and each endpoint's own."""
        chain, sticky, family = prefix + self.hash, self.service.affinity_seconds, self.here.family
        ends = [(e, endpoint_text(e.address, e.port)) for e in endpoints]
        chosen = [(e, end, names.ENDPOINT + names.hashed(self.key + end)) for e, end in ends]
        rules = self.written.nat.setdefault(chain, [])
        comments = [self._endpoint_comment(end) for _, end, _ in chosen]
        if sticky is not None:
            recent = f"-m recent --rcheck --seconds {sticky} --reap --name"
            rules += [
                f"-A {chain} {comment}{recent} {to} {_RECENT[family]} -j {to}"
                for comment, (_, _, to) in zip(comments, chosen, strict=True)
            ]
        left = len(chosen)
        for comment, (endpoint, end, to) in zip(comments, chosen, strict=True):
            draw = f"-m statistic --mode random --probability {_probability(left)} " if left > 1 else ""
            rules.append(f"-A {chain} {comment}{draw}-j {to}")
            left -= 1
            if to not in done:
                done.add(to)
                self.written.nat[to] = self._endpoint(to, endpoint, end)

    def _endpoint_comment(self, end: str) -> str:
        if self.here.large:
            return ""
        if self.here.settings.comments == "name":
            return _comment(self.name) + " "
        return _comment(f"{self.name} -> {end}") + " "

    def _endpoint(self, chain: str, endpoint: Endpoint, end: str) -> list[str]:
        family, proto = self.here.family, self.protocol
        comment = "" if self.here.large else f"{_comment(self.name)} "
        sticky = ""
        if self.service.affinity_seconds is not None:
            sticky = f"-m recent --set --name {chain} {_RECENT[family]} "
        return [
            f"-A {chain} -s {endpoint.address}/{_PREFIX[family]} {comment}-j {names.MARK_MASQ}",
            f"-A {chain} -p {proto} {comment}{sticky}-m {proto} -j DNAT --to-destination {end}",
        ]


def _comment(text: str) -> str:
    return f'-m comment --comment "{text}"'


def _of_family(addresses: Sequence[Address], family: Family) -> Address | None:
    return next((address for address in addresses if address.version == family), None)


def _ranges(texts: Sequence[str], family: Family) -> list[str]:
    """Source ranges of a family, as iptables prints networks."""
    found = []
    for text in texts:
        try:
            network = ip_network(text.strip(), strict=False)
        except ValueError:
            continue  # the API server refuses such
        if network.version == family:
            found.append(str(network))
    return found


@lru_cache(maxsize=4096)
def _probability(left: int) -> str:
    """1/``left`` as kube-proxy writes it and iptables-save prints the kernel's rounding of it."""
    draws = floor(float(f"{1 / left:.10f}") * _DRAWS + 0.5)
    return f"{draws / _DRAWS:.11f}"


def count_endpoints(services: Iterable[tuple[Service, Sequence[Endpoint]]], family: Family) -> int:
    """The endpoints over all service ports of a family, as kube-proxy counts them for ``LARGE``."""
    total = 0
    for service, endpoints in services:
        if served(service, family):
            total += sum(len(of_port(endpoints, port, family)) for port in service.ports)
    return total


def node_addresses(node: Node | None, family: Family) -> tuple[Address, ...]:
    """The address that kube-proxy considers the node's own."""
    texts = node.internal(family) if node is not None else ()
    return tuple(ip_address(text) for text in texts[:1])
