"""CT and NOTRACK: how connection tracking treats the packet (kernel: xt_CT.c).

An untracked packet belongs to no connection, so nat tables are not consulted for it. A zone, helper,
timeout or event mask changes nothing that a trace of one packet sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import CtState, Packet
from kinspect.model.rules import Effect, Proceed
from kinspect.netfilter.options import Options
from kinspect.netfilter.targets.nothing import Nothing

OPTIONS_NOTRACK: Final[dict[str, int]] = {}
OPTIONS_CT: Final = {
    "--notrack": 0, "--helper": 1, "--ctevents": 1, "--expevents": 1, "--zone-orig": 1, "--zone-reply": 1,
    "--zone": 1, "--timeout": 1,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Untrack:
    """The packet is not tracked, unless it already is."""

    def act(self, packet: Packet, host: Host) -> Effect:
        """A packet that comes back by the loopback keeps the connection that it has."""
        held = packet.tracked and packet.state is not CtState.INVALID
        return Proceed(packet if held else packet.replace(state=CtState.UNTRACKED))


def read_NOTRACK(options: Options) -> Untrack:  # noqa: N802 - named after the target
    """``-j NOTRACK``."""
    return Untrack()


def read_CT(options: Options) -> Untrack | Nothing:  # noqa: N802
    """``-j CT``, with ``--notrack`` or with options that have no effect on a trace."""
    return Untrack() if options.has("--notrack") else Nothing()
