"""CT and NOTRACK: how connection tracking is to see the packet (kernel: xt_CT.c).

An untracked packet belongs to no connection, so no nat rule is asked about it. A zone, a helper,
a timeout or events change nothing that a trace of one packet sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import CtState, Packet
from kinspect.model.rules import Described, Effect, Proceed
from kinspect.netfilter.options import Options
from kinspect.netfilter.targets.nothing import Nothing

OPTIONS_NOTRACK: Final[dict[str, int]] = {}
OPTIONS_CT: Final = {
    "--notrack": 0, "--helper": 1, "--ctevents": 1, "--expevents": 1, "--zone-orig": 1, "--zone-reply": 1,
    "--zone": 1, "--timeout": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Untrack:
    """The packet is not tracked, unless it is already."""

    def described(self) -> Described:
        """Its name."""
        return Described("NOTRACK")

    def act(self, packet: Packet, host: Host) -> Effect:
        """Of what comes back by the loopback the connection stays, where it has one."""
        held = packet.tracked and packet.state is not CtState.INVALID
        return Proceed(packet if held else packet.replace(state=CtState.UNTRACKED))


def read_NOTRACK(options: Options) -> Untrack:  # noqa: N802 - named after the target
    """``-j NOTRACK``."""
    return Untrack()


def read_CT(options: Options) -> Untrack | Nothing:  # noqa: N802
    """``-j CT``, with ``--notrack`` or with what a trace does not see."""
    return Untrack() if options.has("--notrack") else Nothing(options.words())
