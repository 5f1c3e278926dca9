"""``-m policy``: what IPsec does with the packet (kernel: xt_policy.c).

Assumed: nothing, since a snapshot has no IPsec policies. So ``--pol none`` matches every packet and
``--pol ipsec`` none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind
from kinspect.netfilter.printed import printed

OPTIONS: Final = {
    "--dir": 1, "--pol": 1, "--strict": 0, "--reqid": 1, "--spi": 1, "--proto": 1, "--mode": 1,
    "--tunnel-src": 1, "--tunnel-dst": 1, "--next": 0,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")
REPEATABLE: Final = frozenset(OPTIONS) - {"--dir", "--pol", "--strict"}  # once per element of --strict


@dataclass(frozen=True, slots=True)
class IpsecPolicy:
    """The packet is subject to IPsec, or is not."""

    none: bool

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain, on the assumption that there is no IPsec."""
        return certain(self.none)

    def seen(self, packet: Packet) -> str:
        """The assumption."""
        return "assumed: no IPsec"


def read(options: Options) -> IpsecPolicy:
    """``--pol``; the details of a policy do not matter if there is none."""
    way, kind = options.need("--dir"), options.need("--pol")
    if way.value not in ("in", "out"):
        raise way.error("in or out")
    if kind.value not in ("none", "ipsec"):
        raise kind.error("none or ipsec")
    return IpsecPolicy(kind.value == "none")


PRINTED: Final = (printed(r"policy match dir (in|out) pol (none|ipsec)", r"-m policy --dir \1 --pol \2"),)
