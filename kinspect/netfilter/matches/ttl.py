"""``-m ttl``, ``-m hl``: the number of hops that a packet has left (kernel: xt_hl.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import NEVER, Odds, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind, integer

OPTIONS_ttl: Final = {"--ttl-eq": 1, "--ttl": "--ttl-eq", "--ttl-lt": 1, "--ttl-gt": 1}
OPTIONS_hl: Final = {"--hl-eq": 1, "--hl": "--hl-eq", "--hl-lt": 1, "--hl-gt": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys((*OPTIONS_ttl, *OPTIONS_hl), "plain")

_WORDS: Final = {"eq": "", "lt": "below ", "gt": "above "}


@dataclass(frozen=True, slots=True)
class HopsLeft:
    """The TTL (IPv6: hop limit) is equal to, below or above a value."""

    comparison: str  # eq, lt, gt
    value: int
    family: int = 4
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the packet's is not known."""
        if packet.family != self.family:
            return NEVER
        ttl = packet.ttl
        if ttl is None:
            what = "TTL" if self.family == 4 else "hop limit"
            asked = undecided(
                "packet-field",
                f"the packet's {what} is {_WORDS[self.comparison]}{self.value}",
                Input("packet"),
            )
            return unless(self.inverted, asked)
        held = {"eq": ttl == self.value, "lt": ttl < self.value, "gt": ttl > self.value}[self.comparison]
        return certain(held != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The number of hops left."""
        return f"it has {packet.ttl if packet.ttl is not None else 'an unknown number of'} hops left"


def _read(options: Options, name: str, family: int) -> HopsLeft:
    option = options.need(f"--{name}-eq", f"--{name}-lt", f"--{name}-gt")
    value = option.read(lambda text: integer(text, 0, 255), "a number of hops up to 255")
    return HopsLeft(option.name[-2:], value, family, option.inverted)


def read_ttl(options: Options) -> HopsLeft:
    """``-m ttl``, for IPv4."""
    return _read(options, "ttl", 4)


def read_hl(options: Options) -> HopsLeft:
    """``-m hl``, for IPv6."""
    return _read(options, "hl", 6)
