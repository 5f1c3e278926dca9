"""``-m ecn``: congestion marks in the IP and TCP headers (kernel: xt_ecn.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, Undecided, both, certain, undecided, unless
from kinspect.model.packet import TCP, Packet
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import OptionError, Options, ValueKind, integer

OPTIONS: Final = {"--ecn-tcp-cwr": 0, "--ecn-tcp-ece": 0, "--ecn-ip-ect": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class Congestion:
    """The lowest two bits of the TOS octet are ``ect``, and the named TCP flags are set, or not set."""

    ect: int | None = None
    ect_inverted: bool = False
    flags: tuple[tuple[str, bool], ...] = ()  # CWR or ECE, and whether inverted

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the packet's TOS is not known; TCP's congestion flags are always a question."""
        if self.flags and packet.protocol != TCP:
            return NEVER
        found: Odds = ALWAYS
        if self.ect is not None:
            if packet.tos is None:
                found = unless(
                    self.ect_inverted,
                    undecided("packet-field", f"the packet's ECN bits are {self.ect}", Input("packet")),
                )
            else:
                found = certain((packet.tos & 3 == self.ect) != self.ect_inverted)
        if found == NEVER or not self.flags:
            return found
        words = " and ".join(f"TCP's flag {name} is {'not ' * inverted}set" for name, inverted in self.flags)
        flags = undecided("packet-field", words, Input("packet"))
        return both(flags, found) if isinstance(found, Undecided) else flags

    def seen(self, packet: Packet) -> str:
        """The bits."""
        return f"its ECN bits are {'not known' if packet.tos is None else packet.tos & 3}"


def read(options: Options) -> Congestion:
    """``--ecn-ip-ect``, ``--ecn-tcp-cwr``, ``--ecn-tcp-ece``."""
    ect = options.get("--ecn-ip-ect")
    flags = tuple((o.name[-3:].upper(), o.inverted) for o in options if o.name != "--ecn-ip-ect")
    if ect is None and not flags:
        raise OptionError("expected --ecn-ip-ect, --ecn-tcp-cwr or --ecn-tcp-ece", options.word)
    value = ect.read(lambda text: integer(text, 0, 3), "a number from 0 to 3") if ect else None
    return Congestion(value, bool(ect and ect.inverted), flags)
