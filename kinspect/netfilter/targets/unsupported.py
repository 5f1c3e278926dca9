"""A target that kinspect does not model: its effect is undecided."""

from __future__ import annotations

from dataclasses import dataclass

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, undecided
from kinspect.model.packet import Packet
from kinspect.model.rules import (
    NO_DISTINCTIONS,
    Described,
    Distinctions,
    Effect,
    End,
    OneOf,
    Proceed,
    Verdict,
)


@dataclass(frozen=True, slots=True)
class UnsupportedTarget:
    """A target that is not known; ``text`` is as written."""

    text: str

    def described(self) -> Described:
        """As written."""
        return Described(self.text.removeprefix("-j "))

    def distinguishes(self) -> Distinctions:
        """Its question is the same for all packets."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """Two outcomes: the packet goes on unchanged, or ends here."""
        goes_on = undecided("unsupported-target", f"{self.text} lets the packet go on unchanged")
        return OneOf(((goes_on, Proceed(packet)), (ALWAYS, End(Verdict.DROP, packet))))
