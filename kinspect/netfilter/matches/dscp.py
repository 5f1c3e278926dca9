"""``-m dscp``: the upper six bits of the TOS octet (kernel: xt_dscp.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Option, Options, ValueKind, integer

OPTIONS: Final = {"--dscp": 1, "--dscp-class": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

# RFC 2474, 2597, 3246, 5865.
CLASSES: Final = {
    **{f"CS{n}": 8 * n for n in range(8)},
    **{f"AF{x}{y}": 8 * x + 2 * y for x in range(1, 5) for y in range(1, 4)},
    "BE": 0, "EF": 0x2E, "VA": 0x2C,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dscp:
    """The packet has this code point."""

    value: int
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the packet's TOS octet is not known."""
        if packet.tos is None:
            return unless(
                self.inverted,
                undecided("packet-field", f"the packet's DSCP is {self.value:#04x}", Input("packet")),
            )
        return certain((packet.tos >> 2 == self.value) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The packet's code point."""
        return "its DSCP is not known" if packet.tos is None else f"its DSCP is {packet.tos >> 2:#04x}"


def code_point(option: Option) -> int:
    """The value of an option: a name if the option ends in ``-class``, else a number."""
    if option.name.endswith("-class"):
        return option.read(_class, "a class of BE, EF, AFxx, CSx")
    return option.read(lambda text: integer(text, 0, 63), "a number up to 63")


def _class(text: str) -> int:
    if text.upper() not in CLASSES:
        raise ValueError(text)
    return CLASSES[text.upper()]


def read(options: Options) -> Dscp:
    """``--dscp`` or ``--dscp-class``."""
    option = options.need("--dscp", "--dscp-class")
    return Dscp(code_point(option), option.inverted)
