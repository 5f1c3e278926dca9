"""``-m tcpmss``: the segment size that a TCP SYN announces (kernel: xt_tcpmss.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import NEVER, Odds, certain, undecided, unless
from kinspect.model.packet import TCP, Packet, TcpFlag
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind, integer

OPTIONS: Final = {"--mss": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class SegmentSize:
    """The MSS is in the range; a packet that announces none matches only if inverted."""

    low: int
    high: int
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided for SYNs: a trace does not know their TCP options."""
        if packet.protocol != TCP or packet.fragment:
            return NEVER
        if packet.tcp_flags is not None and not packet.tcp_flags & TcpFlag.SYN:
            return certain(self.inverted)
        return unless(
            self.inverted,
            undecided(
                "packet-field", f"the packet announces an MSS of {self.low} to {self.high}", Input("packet")
            ),
        )

    def seen(self, packet: Packet) -> str:
        """Whether the packet announces one."""
        return "it is of another protocol" if packet.protocol != TCP else "it is not a SYN"


def read(options: Options) -> SegmentSize:
    """``--mss N`` or ``N:M``."""
    option = options.need("--mss")

    def ends(text: str) -> tuple[int, int]:
        low_text, colon, high_text = text.partition(":")
        low = integer(low_text, 0, 0xFFFF)
        return low, integer(high_text, low, 0xFFFF) if colon else low

    low, high = option.read(ends, "a size or a range of sizes")
    return SegmentSize(low, high, option.inverted)
