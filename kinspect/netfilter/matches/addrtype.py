"""``-m addrtype``: what kind of address it is to this host (kernel: xt_addrtype.c).

For IPv4 the kernel asks its local routing table: what has no entry there is UNICAST. For IPv6 it
looks at the address and at the route to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, Undecided
from kinspect.model.packet import Address, Packet
from kinspect.netfilter.options import Option, OptionError, Options

OPTIONS: Final = {"--src-type": 1, "--dst-type": 1, "--limit-iface-in": 0, "--limit-iface-out": 0}

TYPES: Final = frozenset(
    {"UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE",
     "PROHIBIT", "THROW", "NAT", "XRESOLVE"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class AddressType:
    """Source and destination are of the types listed."""

    src: frozenset[str] | None = None
    src_inverted: bool = False
    dst: frozenset[str] | None = None
    dst_inverted: bool = False
    limit: str | None = None  # "in" or "out": only addresses of that interface count as LOCAL

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided where the host's addresses are not known."""
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
                    open_question = Undecided(
                        f"{address} is of type {','.join(sorted(wanted))} on the interface"
                    )
                    continue
            found = address_type(address, host, interface)
            if found is None:
                asked = _question(address, wanted)
                open_question = asked.inverted() if inverted else asked
            elif (found in wanted) == inverted:
                return NEVER
        return open_question or ALWAYS

    def seen(self, packet: Packet) -> str:
        """The addresses."""
        return f"it goes from {packet.src} to {packet.dst}"


def _question(address: Address, wanted: frozenset[str]) -> Undecided:
    if wanted == {"LOCAL"}:
        return own_address(address)
    if wanted == {"UNICAST"}:
        return own_address(address).inverted()
    return Undecided(f"{address} is of type {','.join(sorted(wanted))} to this host")


def own_address(address: Address) -> Undecided:
    """The question whether an address is the host's own."""
    return Undecided(f"{address} is an address of this host")


def address_type(address: Address, host: Host, interface: str | None = None) -> str | None:
    """The type of an address to this host, by its local table; None where it cannot be known.

    With an interface only routes of the local table through that interface count.
    """
    if isinstance(address, IPv4Address):
        if address == IPv4Address("255.255.255.255") or address == IPv4Address("0.0.0.0"):  # noqa: S104 - not a bind
            return "BROADCAST"
    elif address.is_unspecified:
        return "UNSPEC"
    if address.is_multicast:
        return "MULTICAST"
    routes = host.family_routes(address)
    local = [route for route in routes or () if route.table == "local"]
    if local:
        found = [
            route
            for route in local
            if address in route.destination and (interface is None or route.dev == interface)
        ]
        if found:
            return max(found, key=lambda route: route.destination.prefixlen).type.upper()
        return "UNICAST"
    if interface is not None:
        if host.links is None:
            return None
        link = host.links.get(interface)
        return "LOCAL" if link and any(address == own.address for own in link.addresses) else "UNICAST"
    known = host.is_local(address)
    if known is None:
        return None
    return "LOCAL" if known else "UNICAST"


def _types(option: Option) -> frozenset[str]:
    types = frozenset(option.value.upper().split(","))
    if not types <= TYPES:
        raise option.error("a list of address types, such as LOCAL or BROADCAST,")
    return types


def read(options: Options) -> AddressType:
    """``--src-type``, ``--dst-type`` and the limits to an interface."""
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
