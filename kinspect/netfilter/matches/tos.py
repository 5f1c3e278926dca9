"""``-m tos``: the TOS octet, or the traffic class of IPv6 (kernel: xt_dscp.c)."""

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

OPTIONS: Final = {"--tos": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

NAMES: Final = {
    "minimize-delay": 0x10, "maximize-throughput": 0x08, "maximize-reliability": 0x04,
    "minimize-cost": 0x02, "normal-service": 0x00,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tos:
    """``(tos & mask) == value``."""

    value: int
    mask: int = 0xFF
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the packet's is not known."""
        if packet.tos is None:
            asked = undecided(
                "packet-field", f"the packet's TOS is {self.value:#04x}/{self.mask:#04x}", Input("packet")
            )
            return unless(self.inverted, asked)
        return certain((packet.tos & self.mask == self.value) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """Its octet."""
        return "its TOS is not known" if packet.tos is None else f"its TOS is {packet.tos:#04x}"


def octet(text: str, named: int) -> tuple[int, int]:
    """``value[/mask]``, or a name with the mask ``named``. Raises ValueError."""
    if text.lower() in NAMES:
        return NAMES[text.lower()], named
    value, slash, mask = text.partition("/")
    return integer(value, 0, 0xFF), integer(mask, 0, 0xFF) if slash else 0xFF


def read(options: Options) -> Tos:
    """``--tos``; a name ignores the two ECN bits."""
    option = options.need("--tos")
    value, mask = option.read(lambda text: octet(text, 0x3F), "a TOS, as value, value/mask or a name,")
    return Tos(value, mask, option.inverted)
