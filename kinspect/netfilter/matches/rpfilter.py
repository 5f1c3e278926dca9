"""``-m rpfilter``: a reply would leave by the interface that the packet came in by.

Kernel: ipt_rpfilter.c, ip6t_rpfilter.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from kinspect.model.host import Host, Route
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.netfilter.options import Options
from kinspect.netfilter.routing import Flow, Found, look_up
from kinspect.netfilter.unknowns import Facts, Fork, explored

OPTIONS: Final = {"--loose": 0, "--validmark": 0, "--accept-local": 0, "--invert": 0}

_TO_NEIGHBOURS: Final = IPv4Network("224.0.0.0/24")
_ALL: Final = IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class ReversePath:
    """The route back is by the same interface; ``loose``: by any interface."""

    loose: bool = False
    valid_mark: bool = False
    accept_local: bool = False
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided without routes, or if a policy rule's condition is not known."""
        found = self._passes(packet, host)
        if found is None:
            way = "by the interface that it came in by" if not self.loose else "by some interface"
            return unless(
                self.inverted,
                undecided("reverse-path", f"a reply to {packet.src} would leave {way}", Input("routes")),
            )
        return certain(found != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The interface that the packet came in by."""
        return f"it came from {packet.src} by {packet.iif or 'an unknown interface'}"

    def _passes(self, packet: Packet, host: Host) -> bool | None:
        if packet.iif == "lo" or _unconfigured(packet):
            return True
        if host.family_routes(packet.src) is None:
            return None
        decision = explored(partial(self._way_back, packet, host))
        return None if isinstance(decision, Fork) else decision

    def _way_back(self, packet: Packet, host: Host, facts: Facts) -> bool:
        flow = Flow.of(packet).back(None, marked=self.valid_mark)
        found = look_up(flow, host, facts)
        if found is None or found.type not in ("unicast", "local"):
            return False
        if found.type == "local" and not self.accept_local:
            return False
        if self.loose or (found.type == "local" and packet.family == 6):
            return True
        devs = _devs(found, packet, host)
        unread = packet.iif is None or None in devs
        return facts.holds(
            "reverse-path",
            "a reply leaves by the interface that its packet came by",
            None if unread else packet.iif in devs,
        )


def _unconfigured(packet: Packet) -> bool:
    """Whether the packet is from a host that has no address yet, to its neighbours."""
    if isinstance(packet.src, IPv4Address):
        return packet.src.is_unspecified and (packet.dst == _ALL or packet.dst in _TO_NEIGHBOURS)
    return packet.src.is_unspecified


def _devs(found: Found, packet: Packet, host: Host) -> set[str | None]:
    """The interfaces of a route, each of its next hops'; of IPv6, those of all routes to its prefix."""
    if found.route is None:
        return {None}
    routes: Sequence[Route] = [found.route]
    table = host.table(6, found.route.table)
    if packet.family == 6 and table is not None:
        to = found.route.destination
        routes = next(same for same in table.matching(packet.src) if same[0].destination == to)
    return {way.dev for each in routes for way in each.hops}


def read(options: Options) -> ReversePath:
    """The flags; inversion is ``--invert``, not ``!``."""
    return ReversePath(
        options.has("--loose"),
        options.has("--validmark"),
        options.has("--accept-local"),
        options.has("--invert"),
    )
