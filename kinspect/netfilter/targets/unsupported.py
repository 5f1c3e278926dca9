"""A target that kinspect does not model: what becomes of the packet is undecided."""

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
    """A target that is not known; ``text`` as written."""

    text: str

    def act(self, packet: Packet, host: Host) -> Effect:
        """Both ways: the packet goes on as it is, or ends here."""
        goes_on = Undecided(f"{self.text} {GOES_ON}")
        return OneOf(((goes_on, Proceed(packet)), (ALWAYS, End(Verdict.DROP, packet))))
