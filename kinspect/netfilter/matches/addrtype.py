"""``-m addrtype``: the type of an address, as seen from this host (kernel: xt_addrtype.c).

For IPv4 the kernel looks in its local routing table: an address without an entry there is UNICAST,
and each address has one type. For IPv6 it looks at the address (UNICAST is every address that is not
multicast, the host's own included) and then at the route to it: LOCAL, ANYCAST, UNREACHABLE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, Undecided, undecided, unless
from kinspect.model.packet import Address, Packet
from kinspect.model.questions import Input
from kinspect.model.rules import Distinctions
from kinspect.netfilter.options import Option, OptionError, Options, ValueKind
from kinspect.netfilter.printed import NOT, printed
from kinspect.netfilter.routing import own_address_question, route
from kinspect.netfilter.unknowns import Fork

OPTIONS: Final = {"--src-type": 1, "--dst-type": 1, "--limit-iface-in": 0, "--limit-iface-out": 0}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

# Before Linux 5.3 all of 0.0.0.0/8 was.
_BROADCAST: Final = frozenset({IPv4Address(0), IPv4Address("255.255.255.255")})
_POINT_TO_POINT: Final = 31  # networks of at least this prefix length have no broadcast address
_BY_ROUTE: Final = frozenset({"LOCAL", "ANYCAST", "UNREACHABLE"})
_ROUTE_TYPES: Final = {
    "local": "LOCAL", "anycast": "ANYCAST", "unreachable": "UNREACHABLE", "blackhole": "UNREACHABLE",
    "prohibit": "UNREACHABLE", "throw": "UNREACHABLE",
}  # fmt: skip

TYPES: Final = frozenset(
    {"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE",
     "PROHIBIT", "THROW", "NAT", "XRESOLVE"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AddressType:
    """Source and destination have one of the listed types."""

    src: frozenset[str] | None = None
    src_inverted: bool = False
    dst: frozenset[str] | None = None
    dst_inverted: bool = False
    limit: str | None = None  # "in" or "out": only addresses of that interface count as LOCAL

    def distinguishes(self) -> Distinctions:
        """What the host's routes tell apart."""
        return Distinctions(of_host=True)

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the host's addresses are not known."""
        open_question: Odds | None = None
        for address, wanted, inverted in (
            (packet.src, self.src, self.src_inverted),
            (packet.dst, self.dst, self.dst_inverted),
        ):
            if wanted is None:
                continue
            interface = None
            if self.limit is not None:
                interface = packet.iif if self.limit == "in" else packet.oif
                if interface is None:
                    asked = undecided(
                        "address-type", f"{address} is of type {','.join(sorted(wanted))} on the interface"
                    )
                    open_question = unless(inverted, asked)
                    continue
            found = is_of_type(address, wanted, host, interface)
            if found is None:
                open_question = unless(inverted, _question(address, wanted))
            elif found == inverted:
                return NEVER
        return open_question or ALWAYS

    def seen(self, packet: Packet) -> str:
        """The addresses."""
        return f"it goes from {packet.src} to {packet.dst}"


def _question(address: Address, wanted: frozenset[str]) -> Undecided:
    if wanted == {"LOCAL"}:
        return own_address(address)
    if wanted == {"UNICAST"} and address.version == 4:
        return own_address(address).inverted()
    return undecided(
        "address-type", f"{address} is of type {','.join(sorted(wanted))} to this host", Input("routes")
    )


def own_address(address: Address) -> Undecided:
    """The question whether an address is one of the host's own."""
    return Undecided(own_address_question(address))


def is_of_type(
    address: Address, wanted: frozenset[str], host: Host, interface: str | None = None
) -> bool | None:
    """Whether the address has one of the types; None if that is not known.

    With an interface, only addresses of that interface count as LOCAL.
    """
    if isinstance(address, IPv6Address):
        return _is_of_type_6(address, wanted, host, interface)
    found = address_type(address, host, interface)
    return None if found is None else found in wanted


def address_type(address: IPv4Address, host: Host, interface: str | None = None) -> str | None:
    """The type of an IPv4 address by the host's local table; None if it is not known.

    If ``interface`` is given, an address whose entry is for another interface is UNICAST.
    """
    if address in _BROADCAST:
        return "BROADCAST"
    if address.is_multicast:
        return "MULTICAST"
    local = host.table(4, "local")
    if local is not None:
        found = next(local.matching(address), None)
        if found is None:
            return "UNICAST"
        best = found[0]
        return best.type.upper() if interface in (None, best.dev) else "UNICAST"
    return _by_links(address, host, interface)


def _by_links(address: IPv4Address, host: Host, interface: str | None) -> str | None:
    """The entry that the local table would have, derived from the interfaces' addresses."""
    if address.is_loopback and interface in (None, "lo"):
        return "LOCAL"
    if host.links is None:
        known = None if interface is not None else host.is_local(address)
        return None if known is None else "LOCAL" if known else "UNICAST"
    for link in host.links.values():
        if interface not in (None, link.name):
            continue
        if any(address == own.address for own in link.addresses):
            return "LOCAL"
        if any(
            own.network.prefixlen < _POINT_TO_POINT and address == own.network.broadcast_address
            for own in link.addresses
        ):
            return "BROADCAST"
    return "UNICAST"


def _is_of_type_6(
    address: IPv6Address, wanted: frozenset[str], host: Host, interface: str | None
) -> bool | None:
    """The address must have all of the wanted classes and, if route types are wanted, one of those."""
    classes = {
        "MULTICAST": address.is_multicast,
        "UNICAST": not address.is_multicast and not address.is_unspecified,
        "UNSPEC": address.is_unspecified,
    }
    if not all(classes.get(name, True) for name in wanted):
        return False
    asked = wanted & _BY_ROUTE
    if not asked:
        return True
    if host.family_routes(address) is None:
        known = _own_6(address, host, interface)
        return known if asked == {"LOCAL"} or known else None
    # The kernel limits its look-up to the interface: an address without a route by it is UNREACHABLE.
    hop = route(address, host, only_by=interface)
    if hop is None or isinstance(hop, Fork):
        return None
    found = {_ROUTE_TYPES.get(hop.type)}
    if interface is not None:
        found.discard("LOCAL")
        if "LOCAL" in asked:
            on_it = _own_6(address, host, interface)
            if on_it is None:
                return None
            found |= {"LOCAL"} if on_it else set()
    return not found.isdisjoint(asked)


def _own_6(address: IPv6Address, host: Host, interface: str | None) -> bool | None:
    if interface is None:
        return host.is_local(address)
    if host.links is None:
        return None
    link = host.links.get(interface)
    return link is not None and any(address == own.address for own in link.addresses)


def _types(option: Option) -> frozenset[str]:
    types = frozenset(option.value.upper().split(","))
    if not types <= TYPES:
        raise option.error("a list of address types, such as LOCAL or BROADCAST,")
    return types


def read(options: Options) -> AddressType:
    """``--src-type``, ``--dst-type`` and ``--limit-iface-in`` or ``-out``."""
    src, dst = options.get("--src-type"), options.get("--dst-type")
    if src is None and dst is None:
        raise OptionError("expected --src-type or --dst-type", options.word)
    limit = "in" if options.has("--limit-iface-in") else "out" if options.has("--limit-iface-out") else None
    return AddressType(
        _types(src) if src else None,
        bool(src and src.inverted),
        _types(dst) if dst else None,
        bool(dst and dst.inverted),
        limit,
    )


PRINTED: Final = (
    printed(rf"ADDRTYPE match dst-type {NOT}(\S+)", r"-m addrtype --dst-type \2"),
    printed(rf"ADDRTYPE match src-type {NOT}(\S+)", r"-m addrtype --src-type \2"),
)
