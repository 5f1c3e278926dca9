"""CT and NOTRACK: how connection tracking treats the packet (kernel: xt_CT.c).

An untracked packet belongs to no connection, so nat tables are not consulted for it. Otherwise CT gives
the packet a template of its connection, which rules see until connection tracking has seen the packet.
Only the first of these targets that a packet meets has an effect.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import CtState, Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, Proceed
from kinspect.netfilter.options import Options, ValueKind, integer
from kinspect.netfilter.printed import printed

OPTIONS_NOTRACK: Final[dict[str, int]] = {}
OPTIONS_CT: Final = {
    "--notrack": 0, "--helper": 1, "--ctevents": 1, "--expevents": 1, "--zone-orig": 1, "--zone-reply": 1,
    "--zone": 1, "--timeout": 1,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(
    ("--ctevents", "--expevents", "--zone", "--zone-orig", "--zone-reply"), "plain"
)

_ALL: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Untrack:
    """The packet is not tracked, unless it already is."""

    def described(self) -> Described:
        """Its name."""
        return Described("NOTRACK")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """A packet that comes back by the loopback keeps the connection that it has."""
        if _settled(packet):
            return Proceed(packet)
        if packet.tracked:
            return Proceed(packet.replace(untracked=True, state=CtState.UNTRACKED))
        return Proceed(packet.replace(untracked=True))


@dataclass(frozen=True, slots=True)
class Template:
    """The connection starts with the rule's settings; ``zone`` None: its zone is the packet's mark."""

    zone: int | None = 0

    def described(self) -> Described:
        """The zone, if there is one."""
        zone = "the packet's mark" if self.zone is None else str(self.zone)
        return Described(f"CT in zone {zone}" if self.zone != 0 else "CT")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """The template, and so its mark, is shared by all packets of the rule: the mark is not known."""
        if _settled(packet):
            return Proceed(packet)
        return Proceed(
            packet.replace(
                template=True,
                zone=self.zone or 0,
                zone_by_mark=self.zone is None,
                ct_mark=0,
                ct_mark_unknown=_ALL,
            )
        )


def _settled(packet: Packet) -> bool:
    """Whether the packet has a connection or a template, or is marked as untracked."""
    tracked = packet.tracked and packet.state is not CtState.INVALID
    return tracked or packet.template or packet.untracked


def read_NOTRACK(options: Options) -> Untrack:  # noqa: N802 - named after the target
    """``-j NOTRACK``."""
    return Untrack()


def read_CT(options: Options) -> Untrack | Template:  # noqa: N802
    """``-j CT``, with ``--notrack``, with a zone, or with options that have no effect on a trace."""
    if options.has("--notrack"):
        return Untrack()
    zone = options.get("--zone", "--zone-orig", "--zone-reply")
    if zone is None:
        return Template()
    return Template(zone.read(_zone, "a zone up to 65535, or mark,"))


def _zone(text: str) -> int | None:
    return None if text == "mark" else integer(text, 0, 0xFFFF)


PRINTED: Final = (printed(r"NOTRACK|CT .*$"),)
