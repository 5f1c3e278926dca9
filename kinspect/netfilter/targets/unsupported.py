"""A target that kinspect does not model: its effect is undecided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, Undecided
from kinspect.model.packet import Packet
from kinspect.model.rules import Effect, End, OneOf, Proceed, Verdict

GOES_ON: Final = "lets the packet go on unchanged"
"""How the question ends that such a target leaves open."""


@dataclass(frozen=True, slots=True)
class UnsupportedTarget:
    """A target that is not known; ``text`` is as written."""

    text: str

    def act(self, packet: Packet, host: Host) -> Effect:
        """Two outcomes: the packet goes on unchanged, or ends here."""
        goes_on = Undecided(f"{self.text} {GOES_ON}")
        return OneOf(((goes_on, Proceed(packet)), (ALWAYS, End(Verdict.DROP, packet))))
