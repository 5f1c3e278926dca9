"""A packet as netfilter sees it: headers, and what the kernel keeps beside them.

Immutable: a target that changes a packet makes another. ``None`` in a field means that the packet
has no such field, or that its value is not known; a match on it is then undecided, or certainly
does not hold, as the match says.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal, TypeAlias

import msgspec

Address: TypeAlias = IPv4Address | IPv6Address
Family: TypeAlias = Literal[4, 6]

# Names as iptables prints them and /etc/protocols has them; numbers by IANA.
PROTOCOLS: Final[dict[str, int]] = {
    "icmp": 1, "igmp": 2, "ipencap": 4, "tcp": 6, "udp": 17, "ipv6": 41, "ipv6-route": 43, "ipv6-frag": 44,
    "gre": 47, "esp": 50, "ah": 51, "icmpv6": 58, "ipv6-icmp": 58, "mobility-header": 135, "mh": 135,
    "ipv6-mh": 135, "sctp": 132, "dccp": 33, "udplite": 136, "vrrp": 112, "ospf": 89, "pim": 103, "ipip": 94,
    "l2tp": 115, "ipcomp": 108, "egp": 8, "igp": 9, "rdp": 27, "etherip": 97, "encap": 98, "ipv6-nonxt": 59,
    "ipv6-opts": 60, "hopopt": 0, "eigrp": 88, "isis": 124, "st": 5, "ggp": 3, "pup": 12, "hmp": 20,
    "xns-idp": 22, "iso-tp4": 29, "xtp": 36, "ddp": 37, "idpr-cmtp": 38, "idrp": 45, "rsvp": 46, "skip": 57,
    "rspf": 73, "vmtp": 81, "ax.25": 93, "fc": 133, "hip": 139, "shim6": 140, "wesp": 141, "rohc": 142,
    "mpls-in-ip": 137, "manet": 138, "ethernet": 143,
}  # fmt: skip

NAMES: Final[dict[int, str]] = {
    **{number: name for name, number in reversed(PROTOCOLS.items())},
    58: "icmpv6",
    135: "mobility-header",
}

TCP, UDP, SCTP, DCCP, UDPLITE, ICMP, ICMPV6 = 6, 17, 132, 33, 136, 1, 58
# The default client of a packet: documentation addresses (RFC 5737, RFC
# 3849), which no cluster uses, and a port of no service.
OUTSIDE_CLIENT: Final[dict[int, Address]] = {4: IPv4Address("203.0.113.1"), 6: IPv6Address("2001:db8::1")}
CLIENT_PORT: Final = 40000

WITH_PORTS: Final = frozenset({TCP, UDP, SCTP, DCCP, UDPLITE})


class TcpFlag(enum.IntFlag):
    """The flags of a TCP header, by their bits (RFC 9293)."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20


class CtState(enum.Enum):
    """How conntrack sees the packet's connection (``--ctstate``)."""

    NEW = "NEW"
    ESTABLISHED = "ESTABLISHED"
    RELATED = "RELATED"
    INVALID = "INVALID"
    UNTRACKED = "UNTRACKED"


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that made a packet, if ``--from`` says so: numeric user and group."""

    uid: int | None = None
    gid: int | None = None


Stamp: TypeAlias = tuple[str, int, int, int | None]
"""An entry of a list of -m recent: the list, the address, its mask (as numbers), the time to live."""


class Translation(msgspec.Struct, frozen=True, kw_only=True):
    """The translation of a packet by its connection: its addresses when it leaves, and other known facts.

    ``dnat`` and ``snat`` belong to the connection, and reverse its other direction.
    """

    src: Address
    sport: int | None
    dst: Address
    dport: int | None
    reply: bool
    dnat: bool
    snat: bool
    mark: int = 0
    zone: int = 0


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """One packet, at one point of its way."""

    src: Address
    dst: Address
    protocol: int  # IANA number
    sport: int | None = None
    dport: int | None = None
    tcp_flags: TcpFlag | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None
    fragment: bool = False  # a fragment other than the first: it has no ports
    more_fragments: bool = False  # it is not the last fragment of its datagram
    length: int | None = None  # bytes of the whole IP packet
    ttl: int | None = None  # IPv6: hop limit
    tos: int | None = None  # the whole octet; IPv6: traffic class
    mac_src: str | None = None  # lower case, with colons
    headers: frozenset[int] = frozenset()  # IPv6 extension headers, by number; none unless stated

    iif: str | None = None  # interface it came in by; None: made here, or not known (see ``local``)
    oif: str | None = None  # interface it will leave by; "": by none, or not routed yet; None: not known
    via: Address | None = None  # the gateway that it goes to next, if its route has one
    rerouted: tuple[str | None, Address | None] | None = None  # oif and via to be, once OUTPUT is behind it
    physdev_in: str | None = None  # bridge port, for a bridged packet
    physdev_out: str | None = None
    local: bool = False  # made by this host: it came in by no interface
    looped: bool = False  # on its second pass, coming in by lo
    owner: Owner | None = None

    mark: int = 0
    mark_unknown: int = 0  # bits of the mark that cannot be known
    ct_mark: int = 0
    ct_mark_unknown: int | None = None  # bits of it that cannot; None: none of a first packet, else all
    state: CtState = CtState.NEW
    reply: bool | None = None  # flows in its connection's reply direction; a first packet does not
    dnat: bool = False  # conntrack holds a rewritten destination (virtual state DNAT)
    snat: bool = False
    dst_bound: bool = False  # nat has settled the destination of this connection, changed or not
    src_bound: bool = False
    translation: Translation | None = None  # of its connection, if that is established and known
    original: Packet | None = None  # the connection's first direction, before any rewriting
    recent: frozenset[str] = frozenset()  # lists of -m recent on which its client is assumed to be
    recent_now: tuple[Stamp, ...] = ()  # entries of such lists that this walk has stamped, once for each time
    counted: tuple[tuple[str, bool], ...] = ()  # the nth rules that it met, and whether they took it
    sets_changed: frozenset[str] = frozenset()  # ipsets that this walk has added to or deleted from
    tracked: bool = False  # conntrack has seen it
    untracked: bool = False  # a rule of table raw has told conntrack not to look at it
    template: bool = False  # it carries the settings of -j CT of table raw for its connection
    zone: int | None = 0  # the conntrack zone of its connection; None: not known
    zone_by_mark: bool = False  # its zone will be its mark

    @property
    def family(self) -> Family:
        """4 or 6."""
        return 4 if self.dst.version == 4 else 6

    @property
    def first(self) -> Packet:
        """The packet as it was before any rewriting."""
        return self.original or self

    @property
    def ct_mark_open(self) -> int:
        """The bits of the connection's mark that cannot be known."""
        if self.ct_mark_unknown is not None:
            return self.ct_mark_unknown
        return 0 if self.state is CtState.NEW else 0xFFFFFFFF

    @property
    def reverse(self) -> bool | None:
        """Whether it flows in the reply direction; None if not known."""
        return False if self.state is CtState.NEW else self.reply

    def replace(self, **changes: object) -> Packet:
        """A copy with some fields changed."""
        return msgspec.structs.replace(self, **changes)


_OCTET: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_USUAL: Final = re.compile(r"\.".join([_OCTET] * 4))


def read_address(text: str) -> Address:
    """One address of either family, as ``ipaddress`` reads it. Raises ValueError."""
    found = _USUAL.fullmatch(text)
    if found is None:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    # Most are like this, in clusters with very many: four octets are read faster here than there.
    a, b, c, d = found.groups()
    return IPv4Address(int(a) << 24 | int(b) << 16 | int(c) << 8 | int(d))


def equal_bits(mark: int, unknown: int, value: int, mask: int) -> bool | None:
    """Whether ``(mark & mask) == value``; None if it depends on unknown bits."""
    open_bits = unknown & mask
    if (mark ^ value) & mask & ~open_bits or value & ~mask:
        return False
    return None if open_bits else True


def protocol_name(number: int) -> str:
    """The name of a protocol as users type it, or its number if it has none."""
    return NAMES.get(number, str(number))


class SocketAddress(msgspec.Struct, frozen=True):
    """An address and a port; without a port if the protocol has none."""

    address: Address
    port: int | None

    def __str__(self) -> str:
        return endpoint_text(self.address, self.port)


def endpoint_text(address: Address, port: int | None) -> str:
    """``10.42.19.2:80``, ``[fd00::1]:80``, or the address alone."""
    if port is None:
        return str(address)
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"
