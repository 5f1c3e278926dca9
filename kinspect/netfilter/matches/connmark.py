"""``-m connmark``: the mark that conntrack keeps for the connection (kernel: xt_connmark.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import NEVER, Odds, certain, undecided, unless
from kinspect.model.packet import Packet, equal_bits
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.matches.conntrack import connected
from kinspect.netfilter.options import Options, ValueKind, masked
from kinspect.netfilter.printed import NOT, printed

OPTIONS: Final = {"--mark": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class ConnectionMark:
    """``(connection's mark & mask) == value``.

    A packet without a connection (untracked, or still in table raw) never matches, even if inverted.
    """

    value: int
    mask: int
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """A new connection has mark 0; the mark of an existing one is a question."""
        if not connected(packet):
            return NEVER
        question = f"the connection's mark is {self.value:#x}/{self.mask:#x}"
        found = equal_bits(packet.ct_mark, packet.ct_mark_open, self.value, self.mask)
        return unless(self.inverted, undecided("mark", question) if found is None else certain(found))

    def seen(self, packet: Packet) -> str:
        """The connection's mark."""
        if not connected(packet):
            return "the packet belongs to no connection"
        return f"its connection's mark is {packet.ct_mark:#x}"


def read(options: Options) -> ConnectionMark:
    """``--mark value[/mask]``."""
    option = options.need("--mark")
    value, mask = option.read(masked, "a mark, as value or value/mask,")
    return ConnectionMark(value, mask, option.inverted)


PRINTED: Final = (printed(rf"connmark match {NOT} ?(\S+)", r"-m connmark --mark \2"),)
