"""``-m length``: the size of the whole IP packet in bytes (kernel: xt_length.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind, integer

OPTIONS: Final = {"--length": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class Length:
    """The length is in the range."""

    low: int
    high: int
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the packet's length is not known."""
        if packet.length is None:
            asked = undecided(
                "packet-field", f"the packet has {self.low} to {self.high} bytes", Input("packet")
            )
            return unless(self.inverted, asked)
        return certain((self.low <= packet.length <= self.high) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """Its length."""
        return "its length is not known" if packet.length is None else f"it has {packet.length} bytes"


def read(options: Options) -> Length:
    """``--length N``, ``N:M``, ``N:`` or ``:M``."""
    option = options.need("--length")

    def ends(text: str) -> tuple[int, int]:
        low_text, colon, high_text = text.partition(":")
        low = integer(low_text, 0, 0xFFFF) if low_text or not colon else 0
        high = integer(high_text, low, 0xFFFF) if high_text else 0xFFFF if colon else low
        return low, high

    low, high = option.read(ends, "a length or a range of lengths")
    return Length(low, high, option.inverted)
