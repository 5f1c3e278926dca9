"""The source address that the kernel chooses for a packet (devinet.c; addrconf.c, RFC 6724)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final

from kinspect.model.host import Host, Link, LinkAddress
from kinspect.model.packet import Address, Packet
from kinspect.netfilter.routing import route
from kinspect.netfilter.unknowns import usual

_LINK_LOCAL, _SITE_LOCAL, _GLOBAL = 2, 5, 14  # scopes, as RFC 4291 numbers them
_LABELS: Final = [
    (IPv6Network("::1/128"), 0), (IPv6Network("::ffff:0:0/96"), 4), (IPv6Network("::/96"), 3),
    (IPv6Network("2001:10::/28"), 7), (IPv6Network("2001::/32"), 6), (IPv6Network("2002::/16"), 2),
    (IPv6Network("fc00::/7"), 5),
]  # fmt: skip
_OTHERS_LABEL: Final = 1


class Nothing(Enum):
    """There is no address to choose."""

    USABLE = "no usable address"


def source_address(packet: Packet, host: Host) -> Address | Nothing | None:
    """The source that MASQUERADE gives to a routed packet; None if it is not known."""
    if not packet.oif or host.links is None:
        return None
    if isinstance(packet.dst, IPv6Address):
        return _chosen_6(packet.oif, packet.dst, host.links) or Nothing.USABLE
    return _chosen_4(packet.oif, packet.via or packet.dst, host.links) or Nothing.USABLE


def own_source(dst: Address, host: Host) -> Address | None:
    """The source that a process on the host gets for a new connection, if it binds to none.

    If that depends on something that is not known, such as the choice of a next hop, it is one of them.
    """
    decision = route(dst, host)
    if decision is None:
        return None
    hop = usual(decision)
    if hop.prefsrc is not None:
        return hop.prefsrc
    if hop.type == "local" and isinstance(dst, IPv4Address):
        return dst
    if hop.dev is None or host.links is None:
        return dst if hop.type == "local" else None
    if isinstance(dst, IPv6Address):
        return _chosen_6(hop.dev, dst, host.links)
    return _chosen_4(hop.dev, hop.gateway, host.links, on_link=hop.scope in ("link", "host"))


def _chosen_4(
    dev: str, next_hop: Address | None, links: Mapping[str, Link], *, on_link: bool = False
) -> Address | None:
    """Of the interface, the address in the next hop's network, else its first; else another's first.

    ``on_link``: an address of link scope will do, too (inet_select_addr).
    """
    scopes = ("global", "site", "link") if on_link else ("global",)
    for name in (dev, *links):
        link = links.get(name)
        usable = [
            own
            for own in (link.addresses if link else ())
            if isinstance(own.address, IPv4Address) and own.scope in scopes and not own.secondary
        ]
        if name != dev:
            usable = [own for own in usable if own.scope != "link"]
        if usable:
            # The kernel looks for an address in the next hop's network only on the interface itself.
            near = name == dev and next_hop is not None
            same = [own.address for own in usable if near and next_hop in own.network]
            return same[0] if same else usable[0].address
    return None


def _chosen_6(dev: str, dst: IPv6Address, links: Mapping[str, Link]) -> Address | None:
    """The best address by RFC 6724; for a destination on the link, only the interface's own addresses."""
    near = _scope(dst) <= _LINK_LOCAL
    best: tuple[tuple[int, ...], Address] | None = None
    for link, own in _held(links):
        if near and link.name != dev:
            continue
        merit = _merit(own, dst, outgoing=link.name == dev)
        if best is None or merit > best[0]:
            best = merit, own.address
    return best[1] if best else None


def _held(links: Mapping[str, Link]) -> Iterable[tuple[Link, LinkAddress]]:
    for link in links.values():
        for own in link.addresses:
            if isinstance(own.address, IPv6Address):
                yield link, own


def _merit(own: LinkAddress, dst: IPv6Address, *, outgoing: bool) -> tuple[int, ...]:
    """The rank of an address by the kernel's rules, in their order (ipv6_get_saddr_eval)."""
    address = own.address
    assert isinstance(address, IPv6Address)
    scope = _scope(address)
    shared = 128 - (int(address) ^ int(dst)).bit_length()
    return (
        address == dst,
        -scope if scope >= _scope(dst) else scope - 128,
        not own.deprecated,
        outgoing,
        _label(address) == _label(dst),
        not own.secondary,  # a temporary address
        min(shared, own.network.prefixlen),
    )


def _scope(address: IPv6Address) -> int:
    if address.is_multicast:
        return address.packed[1] & 0xF
    if address.is_link_local or address.is_loopback:
        return _LINK_LOCAL
    return _SITE_LOCAL if address.is_site_local else _GLOBAL


def _label(address: IPv6Address) -> int:
    """The label by the kernel's default table (addrlabel.c), where longer prefixes come first."""
    return next((label for network, label in _LABELS if address in network), _OTHERS_LABEL)
