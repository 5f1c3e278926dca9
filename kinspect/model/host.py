"""The state of a host besides its rules: addresses, links, routes, sets, sysctls.

Each part may be unknown (None): conditions on it are then unknown, too, never false.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Final, Literal, Protocol, TypeAlias

from kinspect.model.packet import Address, Packet

Network: TypeAlias = IPv4Network | IPv6Network

RouteType = Literal[
    "unicast",
    "local",
    "broadcast",
    "multicast",
    "anycast",
    "blackhole",
    "unreachable",
    "prohibit",
    "throw",
    "nat",
]


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An address of an interface."""

    address: Address
    network: Network  # the network of its prefix; of a point-to-point address, its peer's
    scope: str = "global"  # global, site, link, host
    secondary: bool = False  # for IPv6: temporary
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """An interface: its addresses in the order the kernel holds them, and its bridge, if a port.

    ``kind`` is what ``ip -d`` calls it: bridge, veth, vxlan, …; empty for one without a kind, such
    as a network card; None if the kind was not read.
    """

    name: str
    addresses: tuple[LinkAddress, ...] = ()
    master: str | None = None
    kind: str | None = None
    loopback: bool = False
    carrier: bool | None = None
    group: str | None = None
    elsewhere: bool = False  # its other end is in another namespace, as that of a pod's veth
    leads: bool = False  # a bond or a VRF: others are its members, but not as ports of a bridge
    calls_iptables: bool = False  # of a bridge: regardless of the sysctl for all bridges


@dataclass(frozen=True, slots=True)
class NextHop:
    """One of the ways of a route. ``dev`` is None if it was not read."""

    dev: str | None = None
    gateway: Address | None = None
    weight: int = 1
    linkdown: bool = False  # its interface has no carrier
    dead: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One route of a table; ``several`` are its next hops if it has more than one."""

    destination: Network
    type: RouteType = "unicast"
    table: str = "main"
    dev: str | None = None
    gateway: Address | None = None
    prefsrc: Address | None = None
    metric: int = 0
    tos: int = 0
    source: Network | None = None  # of IPv6 only: for packets from there
    scope: str = "global"
    by_kernel: bool = True  # the kernel made it, not a user or a daemon
    linkdown: bool = False
    dead: bool = False
    several: tuple[NextHop, ...] = ()

    @property
    def hops(self) -> tuple[NextHop, ...]:
        """Its next hops: one, for most routes."""
        return self.several or (NextHop(self.dev, self.gateway, 1, self.linkdown, self.dead),)


Span: TypeAlias = tuple[int, int]
"""The first and the last number of a range."""


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of policy routing (``ip rule``).

    ``undecidable`` is a condition that cannot be evaluated, as text; None: there is none.
    """

    priority: int
    table: str
    src: Network | None = None
    dst: Network | None = None
    mark: tuple[int, int] | None = None  # value, mask
    iif: str | None = None
    oif: str | None = None
    tos: int | None = None
    protocol: int | None = None
    sport: Span | None = None
    dport: Span | None = None
    uids: Span | None = None
    l3mdev: bool = False  # only for packets of a VRF
    inverted: bool = False
    action: str = "lookup"  # or goto, nop, blackhole, unreachable, prohibit
    target: int | None = None  # the priority that goto leads to; None: none that exists
    suppress_prefix: int | None = None  # ignores routes up to this prefix length
    suppress_group: str | None = None  # ignores routes by interfaces of this group
    undecidable: str | None = None


# The default policy rules of a host: three (two for IPv6).
USUAL_RULES: Final = (
    PolicyRule(priority=0, table="local"),
    PolicyRule(priority=32766, table="main"),
    PolicyRule(priority=32767, table="default"),
)


class AddressSet(Protocol):
    """An ipset."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def type(self) -> str:
        """Its type, such as ``hash:ip,port``."""
        ...

    @property
    def counted(self) -> bool:
        """Whether its members count packets and bytes, so that a rule can match the counts."""
        ...

    def member_sets(self) -> Sequence[str]:
        """The names of the sets in a ``list:set``; none for other types."""
        ...

    def holds(
        self, packet: Packet, directions: Sequence[str], host: Host, *, return_nomatch: bool = False
    ) -> bool | None:
        """Whether the packet's fields are in the set; None if that is not known."""
        ...


@dataclass(frozen=True, kw_only=True)
class Host:
    """The state of one host on which its rules and routes depend."""

    name: str = ""
    addresses: frozenset[Address] | None = None  # all addresses of all interfaces
    links: Mapping[str, Link] | None = None
    routes: Sequence[Route] | None = None
    rules: Mapping[int, Sequence[PolicyRule]] = field(
        default_factory=dict
    )  # by family; none: the usual three
    sets: Mapping[str, AddressSet] | None = None
    sysctls: Mapping[str, str] = field(default_factory=dict)

    def is_local(self, address: Address) -> bool | None:
        """Whether the address is this host's own; None if its addresses are not known.

        All of 127.0.0.0/8 and ::1 are (the kernel's local table holds them).
        """
        if address.is_loopback:
            return True
        if self.addresses is None:
            return None
        return address in self.addresses

    def sysctl(self, key: str) -> str | None:
        """The value of a sysctl, or None if it was not read."""
        return self.sysctls.get(key)

    def conf(self, interface: str | None, switch: str, *, version: int = 4) -> int | None:
        """A number of net.ipv4.conf or net.ipv6.conf; None if it was not read."""
        value = self.sysctls.get(f"net.ipv{version}.conf.{(interface or '').replace('.', '/')}.{switch}")
        return int(value) if value is not None and value.lstrip("-").isdecimal() else None

    def either(self, interface: str | None, switch: str) -> bool | None:
        """A sysctl of IPv4 that is on if it is on for all interfaces, or for this one."""
        values = [self.conf(name, switch) for name in ("all", interface)]
        if any(values):
            return True
        return None if None in values else False

    def is_bridge(self, interface: str | None) -> bool | None:
        """Whether an interface is a bridge; None if not known.

        Without kinds (``ip -d``) a bridge is recognised by a port whose other end is in a pod; what has
        no ports brings in no packet by one.
        """
        link = (self.links or {}).get(interface or "")
        if link is None:
            return None
        if link.kind is not None:
            return link.kind == "bridge"
        if link.loopback or link.leads:
            return False
        ports = self.ports(link.name)
        if any(port.elsewhere for port in ports):
            return True
        return None if ports else False  # a team of network cards has members, too

    def ports(self, bridge: str) -> Sequence[Link]:
        """The ports of a bridge."""
        return [link for link in (self.links or {}).values() if link.master == bridge]

    def policy(self, version: int) -> Sequence[PolicyRule]:
        """The rules of policy routing in the order of evaluation."""
        return self._policies[version]

    @cached_property
    def _policies(self) -> Mapping[int, Sequence[PolicyRule]]:
        found = {version: self.rules.get(version) or USUAL_RULES for version in (4, 6)}
        return {version: sorted(rules, key=lambda rule: rule.priority) for version, rules in found.items()}

    @cached_property
    def own_rules(self) -> bool:
        """Whether there are IPv4 rules of policy routing besides the default ones."""
        return list(self.policy(4)) != list(USUAL_RULES)

    @cached_property
    def own_local_routes(self) -> bool:
        """Whether an IPv4 route of type local exists that the kernel did not make."""
        return any(
            route.type == "local" and not route.by_kernel and route.destination.version == 4
            for route in self.routes or ()
        )

    def table(self, version: int, name: str) -> Table | None:
        """A routing table; None if it has no routes."""
        return self._tables.get((version, name))

    @cached_property
    def _tables(self) -> Mapping[tuple[int, str], Table]:
        found: dict[tuple[int, str], list[Route]] = {}
        for route in self.routes or ():
            found.setdefault((route.destination.version, route.table), []).append(route)
        return {key: Table(routes) for key, routes in found.items()}

    def family_routes(self, address: Address) -> Sequence[Route] | None:
        """The routes of an address's family; None if none were read."""
        return self._by_family.get(address.version)

    @cached_property
    def _by_family(self) -> Mapping[int, Sequence[Route]]:
        found: dict[int, list[Route]] = {}
        for route in self.routes or ():
            found.setdefault(route.destination.version, []).append(route)
        return found


class Table:
    """The routes of one table and family, to be found by address."""

    def __init__(self, routes: Iterable[Route]) -> None:
        by_length: dict[int, dict[int, list[Route]]] = {}
        for route in routes:
            network = route.destination
            same = by_length.setdefault(network.prefixlen, {})
            same.setdefault(int(network.network_address), []).append(route)
        self._by_length = sorted(by_length.items(), reverse=True)

    def matching(self, address: Address) -> Iterator[Sequence[Route]]:
        """The routes to an address, those of one prefix together, the longest prefix first."""
        number, width = int(address), address.max_prefixlen
        for length, networks in self._by_length:
            shift = width - length
            found = networks.get(number >> shift << shift)
            if found is not None:
                yield found


def any_network(version: int) -> Network:
    """The network of all addresses of a family."""
    return IPv4Network("0.0.0.0/0") if version == 4 else IPv6Network("::/0")


def host_network(address: Address) -> Network:
    """The network of one address."""
    return IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)
