"""``-m recent``: lists of addresses seen lately (kernel: xt_recent.c); kube-proxy's client affinity.

A dump does not have the entries of the lists. A trace follows a *new* client, which is on no list, and
says so. ``Packet.recent`` names the lists that a known client is on, and ``Packet.recent_now`` those
to which an earlier rule of the same walk added it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from kinspect.model.host import Host
from kinspect.model.odds import Odds, Undecided, certain, unless
from kinspect.model.packet import Packet, read_address
from kinspect.netfilter.options import OptionError, Options, integer

OPTIONS: Final = {
    "--set": 0, "--rcheck": 0, "--update": 0, "--remove": 0, "--seconds": 1, "--reap": 0, "--hitcount": 1,
    "--rttl": 0, "--name": 1, "--rsource": 0, "--rdest": 0, "--mask": 1,
}  # fmt: skip

Action = Literal["set", "rcheck", "update", "remove"]
ACTIONS: Final[tuple[Action, ...]] = ("set", "rcheck", "update", "remove")


@dataclass(frozen=True, slots=True)
class Recent:
    """The address is on the list (rcheck, update, remove); or is added to it (set), which always matches."""

    name: str
    action: Action
    hitcount: int = 1
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """A new client is on no list, except those to which this walk added it."""
        if self.action == "set":
            return certain(not self.inverted)
        hits = packet.recent_now.count(self.name)
        if self.name in packet.recent and self.hitcount > hits + 1:
            question = f"the client has {self.hitcount} hits on the list {self.name}"
            return unless(self.inverted, Undecided(question))
        return certain((self._listed(packet) and self._enough(packet)) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """Whether the client is on the list."""
        if self.action == "set":
            return f"the client is added to the list {self.name}"
        if self._listed(packet):
            return f"the client is on the list {self.name}"
        return f"a new client is not on the list {self.name}"

    def after(self, packet: Packet) -> Packet:
        """The packet after the match: with the list that it is now on, or no longer on."""
        if self.action == "set" or (self.action == "update" and not self.inverted):
            return packet.replace(recent_now=(*packet.recent_now, self.name))
        if self.action == "remove":
            return packet.replace(
                recent=packet.recent - {self.name},
                recent_now=tuple(name for name in packet.recent_now if name != self.name),
            )
        return packet

    def _listed(self, packet: Packet) -> bool:
        return self.name in packet.recent or self.name in packet.recent_now

    def _enough(self, packet: Packet) -> bool:
        hits = packet.recent_now.count(self.name) + (self.name in packet.recent)
        return self.action == "remove" or hits >= self.hitcount


def read(options: Options) -> Recent:
    """One of the four actions, and its list."""
    for action in ACTIONS:
        option = options.get(f"--{action}")
        if option:
            name, hits = options.get("--name"), options.get("--hitcount")
            seconds, mask = options.get("--seconds"), options.get("--mask")
            if seconds:
                seconds.read(integer, "a number of seconds")
            if mask:
                mask.read(read_address, "a mask, as 255.255.255.0,")
            return Recent(
                name.value if name else "DEFAULT",
                action,
                hits.read(lambda text: max(1, integer(text)), "a count") if hits else 1,
                option.inverted,
            )
    raise OptionError("expected --set, --rcheck, --update or --remove", options.word)
