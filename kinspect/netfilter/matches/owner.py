"""``-m owner``: the process that sent the packet (kernel: xt_owner.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, Undecided, both, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Option, OptionError, Options, integer
from kinspect.netfilter.printed import NOT, printed

OPTIONS: Final = {"--uid-owner": 1, "--gid-owner": 1, "--suppl-groups": 0, "--socket-exists": 0}


@dataclass(frozen=True, slots=True)
class Identity:
    """A user or a group: a range of numbers, or a name that only the node can resolve."""

    kind: Literal["user", "group"]
    ids: tuple[int, int] | str
    inverted: bool = False

    def odds(self, known: int | None) -> Odds:
        """Whether the sender belongs to it."""
        if known is None or isinstance(self.ids, str):
            name = self.ids if isinstance(self.ids, str) else _range_text(self.ids)
            return unless(self.inverted, undecided("sender", f"the packet is sent by {self.kind} {name}"))
        low, high = self.ids
        return certain((low <= known <= high) != self.inverted)


@dataclass(frozen=True, slots=True)
class Ownership:
    """The packet is from a socket of this host, whose file belongs to the user and the group.

    A forwarded packet has no socket: it matches only if all options are inverted.
    """

    user: Identity | None = None
    group: Identity | None = None
    supplementary: bool = False  # the group may be any group of the process
    socket: bool = False
    socket_inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided for a packet of this host whose sender is not known."""
        if not packet.local:
            return certain(
                all(identity is None or identity.inverted for identity in (self.user, self.group))
                and (not self.socket or self.socket_inverted)
                and not self.supplementary
            )
        if self.socket and self.socket_inverted:
            return NEVER
        owner = packet.owner
        found: Odds = ALWAYS
        for identity, known in (
            (self.user, owner.uid if owner else None),
            (self.group, owner.gid if owner and not self.supplementary else None),
        ):
            odds = identity.odds(known) if identity else ALWAYS
            if odds == NEVER:
                return NEVER
            if isinstance(odds, Undecided):
                found = both(found, odds) if isinstance(found, Undecided) else odds
        return found

    def seen(self, packet: Packet) -> str:
        """The packet's sender."""
        if not packet.local:
            return "no process of this host sent it"
        owner = packet.owner
        return f"its sender is user {owner.uid}, group {owner.gid}" if owner else "its sender is not known"


def _range_text(ids: tuple[int, int]) -> str:
    return str(ids[0]) if ids[0] == ids[1] else f"{ids[0]}-{ids[1]}"


def _identity(option: Option | None, kind: Literal["user", "group"]) -> Identity | None:
    if option is None:
        return None

    def ids(text: str) -> tuple[int, int] | str:
        if not text[:1].isdigit():
            if not text:
                raise ValueError(text)
            return (0, 0) if text == "root" else text
        low, dash, high = text.partition("-")
        return integer(low), integer(high, integer(low)) if dash else integer(low)

    return Identity(kind, option.read(ids, f"a {kind} or a range of numbers"), option.inverted)


def read(options: Options) -> Ownership:
    """``--uid-owner``, ``--gid-owner``, ``--suppl-groups``, ``--socket-exists``."""
    socket = options.get("--socket-exists")
    user, group = options.get("--uid-owner"), options.get("--gid-owner")
    if not (socket or user or group):
        raise OptionError("expected --uid-owner, --gid-owner or --socket-exists", options.word)
    return Ownership(
        _identity(user, "user"),
        _identity(group, "group"),
        options.has("--suppl-groups"),
        socket is not None,
        bool(socket and socket.inverted),
    )


PRINTED: Final = (
    printed(rf"owner UID match {NOT}(\d+)", r"-m owner --uid-owner \2"),
    printed(rf"owner GID match {NOT}(\d+)", r"-m owner --gid-owner \2"),
)
