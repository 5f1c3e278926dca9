"""``-m recent``: lists of addresses seen lately (kernel: xt_recent.c); kube-proxy's client affinity.

What a list holds is not in a dump. A trace follows a *new* client, one that is on no list, and
says so; a client that an earlier rule of the same walk put on a list is on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain
from kinspect.model.packet import Packet
from kinspect.netfilter.options import OptionError, Options, integer

OPTIONS: Final = {
    "--set": 0, "--rcheck": 0, "--update": 0, "--remove": 0, "--seconds": 1, "--reap": 0, "--hitcount": 1,
    "--rttl": 0, "--name": 1, "--rsource": 0, "--rdest": 0, "--mask": 1,
}  # fmt: skip

Action = Literal["set", "rcheck", "update", "remove"]


@dataclass(frozen=True, slots=True)
class Recent:
    """The address is on the list (rcheck, update, remove), or is put on it, which always holds."""

    name: str
    action: Action
    hitcount: int = 1
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """A new client is on no list but for those that this walk put it on."""
        if self.action == "set":
            return certain(not self.inverted)
        return certain((self.name in packet.recent and self.hitcount <= 1) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The assumption."""
        if self.action == "set":
            return f"it is put on the list {self.name}"
        return f"a new client is not on the list {self.name}"


def read(options: Options) -> Recent:
    """One of the four actions and its list."""
    for action in ("set", "rcheck", "update", "remove"):
        option = options.get(f"--{action}")
        if option:
            name, hits = options.get("--name"), options.get("--hitcount")
            return Recent(
                name.value if name else "DEFAULT",
                action,
                hits.read(lambda text: integer(text, 1), "a count of at least 1") if hits else 1,
                option.inverted,
            )
    raise OptionError("expected --set, --rcheck, --update or --remove", options.word)
