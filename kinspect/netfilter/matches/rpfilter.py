"""``-m rpfilter``: a reply would leave by the interface that the packet came in by.

Kernel: ipt_rpfilter.c, ip6t_rpfilter.c.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.netfilter.options import Options
from kinspect.netfilter.routing import Fork, route

OPTIONS: Final = {"--loose": 0, "--validmark": 0, "--accept-local": 0, "--invert": 0}

_TO_NEIGHBOURS: Final = IPv4Network("224.0.0.0/24")
_ALL: Final = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class ReversePath:
    """The route back is by the same interface; ``loose``: there is one by any."""

    loose: bool = False
    valid_mark: bool = False
    accept_local: bool = False
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided without routes, or where a policy rule's condition is not known."""
        found = self._passes(packet, host)
        if found is None:
            way = "by the interface that it came in by" if not self.loose else "by some interface"
            return unless(
                self.inverted,
                undecided("reverse-path", f"a reply to {packet.src} would leave {way}", Input("routes")),
            )
        return certain(found != self.inverted)

    def seen(self, packet: Packet) -> str:
        """Where it came from."""
        return f"it came from {packet.src} by {packet.iif or 'an unknown interface'}"

    def _passes(self, packet: Packet, host: Host) -> bool | None:
        if packet.iif == "lo" or _unconfigured(packet):
            return True
        back = packet.replace(
            src=packet.dst,
            dst=packet.src,
            mark=packet.mark if self.valid_mark else 0,
            local=True,
            iif=None,
            oif=None,
        )
        hop = route(packet.src, host, back)
        if hop is None or isinstance(hop, Fork):
            return None
        if hop.type != "unicast" and not (hop.type == "local" and self.accept_local):
            return False
        if self.loose or (hop.type == "local" and packet.family == 6):
            return True
        if hop.dev is None or packet.iif is None or host.family_routes(packet.src) is None:
            return None
        return hop.dev == packet.iif or _beside(packet, host, hop.dev)


def _unconfigured(packet: Packet) -> bool:
    """A host that has no address yet speaks to its neighbours."""
    if isinstance(packet.src, IPv4Address):
        return packet.src.is_unspecified and (packet.dst == _ALL or packet.dst in _TO_NEIGHBOURS)
    return packet.src.is_unspecified


def _beside(packet: Packet, host: Host, dev: str) -> bool:
    """Whether the route has another next hop, by the packet's interface (IPv6: of any metric)."""
    routes = [
        found
        for found in host.family_routes(packet.src) or ()
        if found.type == "unicast" and packet.src in found.destination
    ]
    chosen = [found for found in routes if found.dev == dev]
    best = max((found.destination.prefixlen for found in chosen), default=0)
    return any(
        found.dev == packet.iif
        and any(
            (found.table, found.destination) == (other.table, other.destination)
            and (found.metric == other.metric or packet.family == 6)
            for other in chosen
            if other.destination.prefixlen == best
        )
        for found in routes
    )


def read(options: Options) -> ReversePath:
    """The flags; the inversion is ``--invert``, not ``!``."""
    return ReversePath(
        options.has("--loose"),
        options.has("--validmark"),
        options.has("--accept-local"),
        options.has("--invert"),
    )
