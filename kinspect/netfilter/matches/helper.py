"""``-m helper``: a connection that another one announced, such as FTP data (kernel: xt_helper.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import CtState, Packet
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.matches.conntrack import connected
from kinspect.netfilter.options import Options

OPTIONS: Final = {"--helper": 1}


@dataclass(frozen=True, slots=True)
class Helper:
    """The helper of that name expected the connection."""

    name: str
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Does not match a new connection: one that was announced is RELATED, not NEW."""
        if packet.state is CtState.NEW or not connected(packet):
            return certain(self.inverted)
        asked = undecided("connection", f"conntrack's helper {self.name} expected the connection")
        return unless(self.inverted, asked)

    def seen(self, packet: Packet) -> str:
        """Its state."""
        return f"its state is {packet.state.value}"


def read(options: Options) -> Helper:
    """``--helper``."""
    option = options.need("--helper")
    if not option.value:
        raise option.error("the name of a helper")
    return Helper(option.value, option.inverted)
