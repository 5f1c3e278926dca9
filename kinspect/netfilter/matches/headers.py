"""``-m ah``, ``esp``, ``rt``, ``frag``, ``hbh``, ``dst``, ``mh``: headers that follow the IP header.

Kernel: ipt_ah.c, xt_esp.c, ip6t_ah.c, ip6t_rt.c, ip6t_frag.c, ip6t_hbh.c. A packet without the header
does not match, even if inverted; the content of a header is always a question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, undecided
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind

OPTIONS_ah: Final = {"--ahspi": 1, "--ahlen": 1, "--ahres": 0}
OPTIONS_esp: Final = {"--espspi": 1}
OPTIONS_rt: Final = {
    "--rt-type": 1, "--rt-segsleft": 1, "--rt-len": 1, "--rt-0-res": 0, "--rt-0-addrs": 1,
    "--rt-0-not-strict": 0,
}  # fmt: skip
OPTIONS_frag: Final = {
    "--fragid": 1, "--fraglen": 1, "--fragres": 0, "--fragfirst": 0, "--fragmore": 0, "--fraglast": 0,
}  # fmt: skip
OPTIONS_hbh: Final = {"--hbh-len": 1, "--hbh-opts": 1, "--hbh-not-strict": 0}
OPTIONS_dst: Final = {"--dst-len": 1, "--dst-opts": 1, "--dst-not-strict": 0}
OPTIONS_mh: Final = {"--mh-type": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(
    (*OPTIONS_ah, *OPTIONS_esp, *OPTIONS_rt, *OPTIONS_frag, *OPTIONS_hbh, *OPTIONS_dst, *OPTIONS_mh), "plain"
)

ROUTING, FRAGMENT, HOP_BY_HOP, DESTINATION, AH, ESP, MOBILITY = 43, 44, 0, 60, 51, 50, 135


@dataclass(frozen=True, slots=True)
class Header:
    """The packet has the header, and the header has what ``asked`` names (None: anything)."""

    number: int
    name: str
    asked: str | None = None

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """A packet has only the headers that were stated."""
        if not self._there(packet):
            return NEVER
        if self.asked is None:
            return ALWAYS
        return undecided(
            "packet-field", f"the packet's {self.name} header matches {self.asked}", Input("packet")
        )

    def seen(self, packet: Packet) -> str:
        """Whether the header is there."""
        return f"it has {'a' if self._there(packet) else 'no'} {self.name} header"

    def _there(self, packet: Packet) -> bool:
        if self.number == FRAGMENT and packet.fragment:
            return True
        return self.number in packet.headers or (
            self.number in (AH, ESP, MOBILITY) and packet.protocol == self.number
        )


def _read(number: int, name: str, options: Options) -> Header:
    words = [
        " ".join(("!", option.name, *option.values) if option.inverted else (option.name, *option.values))
        for option in options
    ]
    for option in options:
        if option.values and not option.value:
            raise option.error("a value")
    return Header(number, name, " ".join(words) or None)


def read_ah(options: Options) -> Header:
    """``-m ah``."""
    return _read(AH, "AH", options)


def read_esp(options: Options) -> Header:
    """``-m esp``."""
    return _read(ESP, "ESP", options)


def read_rt(options: Options) -> Header:
    """``-m rt``."""
    return _read(ROUTING, "routing", options)


def read_frag(options: Options) -> Header:
    """``-m frag``."""
    return _read(FRAGMENT, "fragment", options)


def read_hbh(options: Options) -> Header:
    """``-m hbh``."""
    return _read(HOP_BY_HOP, "hop-by-hop", options)


def read_dst(options: Options) -> Header:
    """``-m dst``."""
    return _read(DESTINATION, "destination options", options)


def read_mh(options: Options) -> Header:
    """``-m mh``."""
    return _read(MOBILITY, "mobility", options)
