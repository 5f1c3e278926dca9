"""A rule without a target: it only counts."""

from __future__ import annotations

from dataclasses import dataclass

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, Proceed


@dataclass(frozen=True, slots=True)
class Nothing:
    """Has no effect that a trace can see: no target, or one that only logs or counts.

    ``words`` are its name and options, as written; empty if there is no target.
    """

    words: str = ""

    def described(self) -> Described:
        """As written."""
        return Described(self.words)

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """The walk goes on."""
        return Proceed(packet)
