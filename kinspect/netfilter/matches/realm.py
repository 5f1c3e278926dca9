"""``-m realm``: the realm of the route that the packet takes (kernel: xt_realm.c).

The routes of a snapshot do not have realms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, undecided, unless
from kinspect.model.packet import Packet
from kinspect.netfilter.options import Options

ALWAYS_OPEN: Final = "routes of a snapshot have no realms"
OPTIONS: Final = {"--realm": 1}


@dataclass(frozen=True, slots=True)
class Realm:
    """The route has the realm, given by number or name."""

    text: str
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided."""
        return unless(self.inverted, undecided("route", f"the route to {packet.dst} has realm {self.text}"))

    def seen(self, packet: Packet) -> str:
        """The realm is not known."""
        return "the realm of its route is not known"


def read(options: Options) -> Realm:
    """``--realm value[/mask]`` or a name."""
    option = options.need("--realm")
    if not option.value:
        raise option.error("a realm")
    return Realm(option.value, option.inverted)
