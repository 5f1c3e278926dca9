"""A match that kinspect does not model: its odds are always undecided, never guessed."""

from __future__ import annotations

from dataclasses import dataclass

from kinspect.model.host import Host
from kinspect.model.odds import Odds, undecided
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions


@dataclass(frozen=True, slots=True)
class UnsupportedMatch:
    """An extension, or an option of one, that is not known or not modelled; ``text`` as written."""

    text: str

    def distinguishes(self) -> Distinctions:
        """Its question is the same for all packets."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided, whatever the packet."""
        return undecided("unsupported-match", f"the packet meets {self.text}")

    def seen(self, packet: Packet) -> str:
        """That it was not looked at."""
        return "kinspect does not model this match"
