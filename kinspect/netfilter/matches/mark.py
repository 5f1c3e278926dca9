"""``-m mark``: the packet's mark (kernel: xt_mark.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import Packet, equal_bits
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind, masked
from kinspect.netfilter.printed import NOT, printed

OPTIONS: Final = {"--mark": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class Mark:
    """``(mark & mask) == value``."""

    value: int
    mask: int
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: a packet starts with mark 0 and only rules change it; bits may be marked as not known."""
        question = f"the packet's mark is {self.value:#x}/{self.mask:#x}"
        found = equal_bits(packet.mark, packet.mark_unknown, self.value, self.mask)
        return unless(self.inverted, undecided("mark", question) if found is None else certain(found))

    def seen(self, packet: Packet) -> str:
        """The mark."""
        return f"its mark is {packet.mark:#x}"


def read(options: Options) -> Mark:
    """``--mark value[/mask]``."""
    option = options.need("--mark")
    value, mask = option.read(masked, "a mark, as value or value/mask,")
    return Mark(value, mask, option.inverted)


PRINTED: Final = (printed(rf"mark match {NOT} ?(\S+)", r"-m mark --mark \2"),)
