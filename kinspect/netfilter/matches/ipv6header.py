"""``-m ipv6header``: which headers an IPv6 packet has (kernel: ip6t_ipv6header.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind, protocol

OPTIONS: Final = {"--header": 1, "--soft": 0}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

HOP, ROUTE, FRAG, AH, ESP, DST, NONE, PROTOCOL = 0, 43, 44, 51, 50, 60, 59, 255
_EXTENSIONS: Final = frozenset({HOP, ROUTE, FRAG, AH, DST})
_NAMES: Final = {
    "hop": HOP, "hop-by-hop": HOP, "0": HOP,
    "dst": DST, "ipv6-opts": DST, "60": DST,
    "route": ROUTE, "ipv6-route": ROUTE, "43": ROUTE,
    "frag": FRAG, "ipv6-frag": FRAG, "44": FRAG,
    "auth": AH, "ah": AH, "51": AH,
    "esp": ESP, "50": ESP,
    "none": NONE, "ipv6-nonxt": NONE, "59": NONE,
    "prot": PROTOCOL, "proto": PROTOCOL, "protocol": PROTOCOL, "255": PROTOCOL,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ipv6Headers:
    """The packet has exactly these headers; ``soft``: at least these (inverted: none of them)."""

    headers: frozenset[int]
    soft: bool = False
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: a packet has the headers that were stated, and that of its protocol."""
        found = headers_of(packet)
        if self.soft:
            return certain(not found & self.headers if self.inverted else found >= self.headers)
        return certain((found == self.headers) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The packet's headers."""
        extensions = headers_of(packet) - {PROTOCOL}
        return (
            f"its extension headers are {sorted(extensions)}" if extensions else "it has no extension headers"
        )


def headers_of(packet: Packet) -> frozenset[int]:
    """The headers as the kernel counts them: it stops at ESP, and at "no next header"."""
    found = packet.headers & _EXTENSIONS
    if packet.fragment:
        found |= {FRAG}
    if packet.protocol in (ESP, NONE):
        return found | {packet.protocol}
    return found | ({AH, PROTOCOL} if packet.protocol == AH else {PROTOCOL})


def read(options: Options) -> Ipv6Headers:
    """``--header`` and ``--soft``."""
    option = options.need("--header")

    def headers(text: str) -> frozenset[int]:
        return frozenset(
            _NAMES[word] if word in _NAMES else (protocol(word), PROTOCOL)[1]
            for word in text.lower().split(",")
        )

    return Ipv6Headers(option.read(headers, "a list of headers"), options.has("--soft"), option.inverted)
