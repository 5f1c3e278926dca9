"""What a host knows besides its rules: addresses, links, routes, sets, switches.

Each part may be unknown (None): what is asked about it is then unknown too, never false.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Network
from typing import Literal, Protocol, TypeAlias

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
    network: Network  # the network of its prefix
    scope: str = "global"  # global, site, link, host
    secondary: bool = False  # for IPv6: temporary
    deprecated: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """An interface: its addresses in the order the kernel holds them, and its bridge, if a port."""

    name: str
    addresses: tuple[LinkAddress, ...] = ()
    master: str | None = None
    kind: str | None = None  # bridge, veth, vxlan, …
    loopback: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One route of a table."""

    destination: Network
    type: RouteType = "unicast"
    table: str = "main"
    dev: str | None = None
    gateway: Address | None = None
    prefsrc: Address | None = None
    metric: int = 0


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
    inverted: bool = False
    action: str = "lookup"
    undecidable: str | None = None


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
        """Whether its members count packets and bytes, so that a rule can ask for the counts."""
        ...

    def member_sets(self) -> Sequence[str]:
        """The names of the sets in a ``list:set``; none for other types."""
        ...

    def holds(
        self, packet: Packet, directions: Sequence[str], host: Host, *, return_nomatch: bool = False
    ) -> bool | None:
        """Whether the packet's fields are in the set; None where that cannot be known."""
        ...


@dataclass(frozen=True, kw_only=True)
class Host:
    """The state of one host that its rules and routes ask for."""

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
        """Whether the address is this host's own; None where its addresses are not known.

        All of 127.0.0.0/8 and ::1 are (the kernel's local table holds them).
        """
        if address.is_loopback:
            return True
        if self.addresses is None:
            return None
        return address in self.addresses

    def sysctl(self, key: str) -> str | None:
        """The value of a kernel switch, or None where it was not read."""
        return self.sysctls.get(key)

    def family_routes(self, address: Address) -> Sequence[Route] | None:
        """The routes of an address's family; None where none were read."""
        return self._by_family.get(address.version)

    @cached_property
    def _by_family(self) -> Mapping[int, Sequence[Route]]:
        found: dict[int, list[Route]] = {}
        for route in self.routes or ():
            found.setdefault(route.destination.version, []).append(route)
        return found


def any_network(version: int) -> Network:
    """The network of all addresses of a family."""
    return IPv4Network("0.0.0.0/0") if version == 4 else IPv6Network("::/0")


def host_network(address: Address) -> Network:
    """The network of one address."""
    return IPv4Network(address) if isinstance(address, IPv4Address) else IPv6Network(address)
