"""A match that kinspect does not model: always undecided, never guessed."""

from __future__ import annotations

from dataclasses import dataclass

from kinspect.model.host import Host
from kinspect.model.odds import Odds, undecided
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions


@dataclass(frozen=True, slots=True)
class UnsupportedMatch:
    """An extension, or one of its options, that is not known or not modelled; ``text`` is as written."""

    text: str

    def distinguishes(self) -> Distinctions:
        """Its question is the same for all packets."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Always undecided."""
        return undecided("unsupported-match", f"the packet matches {self.text}")

    def seen(self, packet: Packet) -> str:
        """The reason."""
        return "kinspect does not model this match"
