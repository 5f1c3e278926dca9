"""``-m physdev``: the ports of a bridge that a packet passes (kernel: xt_physdev.c).

The kernel knows the ports if br_netfilter hands a bridge's packets to iptables
(net.bridge.bridge-nf-call-iptables). A packet that did not come in by a bridge has no ports, and
matches only inverted options.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, Undecided, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.netfilter.bridging import BRIDGED, by_bridge, called, stays
from kinspect.netfilter.options import Option, OptionError, Options, ValueKind

OPTIONS: Final = {
    "--physdev-in": 1, "--physdev-out": 1,
    "--physdev-is-in": 0, "--physdev-is-out": 0, "--physdev-is-bridged": 0,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class PhysicalDevices:
    """Conditions on the ports: each option as written, by its name."""

    options: tuple[Option, ...]

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Decided by the packet's ports if they are known, else by the host's links."""
        came = _with_ports(packet, host)
        if came == NEVER:
            return certain(all(option.inverted for option in self.options))
        if isinstance(came, Undecided):
            without = all(option.inverted for option in self.options)
            if without and self._with_port(packet, host) == ALWAYS:
                return ALWAYS
            if not without:
                held = self._with_port(packet, host)
                return came if held == ALWAYS else held
            return undecided("bridge-port", self._question())
        return self._with_port(packet, host)

    def seen(self, packet: Packet) -> str:
        """The ports."""
        if packet.physdev_in is None and packet.physdev_out is None:
            return f"it came in by {packet.iif or 'an unknown interface'}, by no stated port of a bridge"
        return f"its bridge ports are {packet.physdev_in} and {packet.physdev_out}"

    def _question(self) -> str:
        words = (f"{'! ' if o.inverted else ''}{' '.join((o.name, *o.values))}" for o in self.options)
        return f"the packet's bridge ports match {' '.join(words)}"

    def _with_port(self, packet: Packet, host: Host) -> Odds:
        """The odds for a packet that came in by a port of a bridge."""
        found: Odds = ALWAYS
        for option in self.options:
            odds = _asked(option, packet, host)
            if odds == NEVER:
                return NEVER
            if isinstance(odds, Undecided):
                found = odds if found == ALWAYS else undecided("bridge-port", self._question())
        return found


def _asked(option: Option, packet: Packet, host: Host) -> Odds:
    bridged = _stays(packet, host)
    match option.name:
        case "--physdev-is-in":
            return certain(not option.inverted)
        case "--physdev-is-bridged" | "--physdev-is-out":
            return unless(option.inverted, bridged)
        case "--physdev-in":
            ports = [packet.physdev_in] if packet.physdev_in else _ports(packet.iif, host)
            return _port(option, ports, "comes in")
        case _:
            if bridged == NEVER:
                return NEVER  # even if inverted: there is no port to compare with
            ports = [packet.physdev_out] if packet.physdev_out else _ports(packet.oif, host)
            return _port(option, ports, "leaves")


def _port(option: Option, ports: list[str] | None, way: str) -> Odds:
    """Whether the port has this name, if that is the same for all ports that it can be."""
    name = option.value
    held = {port.startswith(name[:-1]) if name.endswith("+") else port == name for port in ports or ()}
    if len(held) == 1:
        return certain(held.pop() != option.inverted)
    return unless(option.inverted, undecided("bridge-port", f"the packet {way} by the bridge port {name}"))


def _ports(bridge: str | None, host: Host) -> list[str] | None:
    if bridge is None or host.links is None:
        return None
    return [link.name for link in host.ports(bridge)]


def _with_ports(packet: Packet, host: Host) -> Odds:
    """Whether the packet came in by a port of a bridge that the kernel knows."""
    if packet.physdev_in is not None and not packet.local:
        return ALWAYS
    came = by_bridge(packet, host)
    if came == NEVER:
        return NEVER
    seen = called(packet, host)
    if seen == NEVER or came == ALWAYS:
        return seen
    return came if seen == ALWAYS else undecided("bridge-port", "the packet comes in by a port of a bridge")


def _stays(packet: Packet, host: Host) -> Odds:
    """Whether the packet leaves by another port of its bridge, without being routed."""
    if packet.physdev_out is not None:
        return ALWAYS
    if not packet.oif:
        routed = host.family_routes(packet.dst) is not None
        return NEVER if routed else BRIDGED
    if packet.iif is None:
        return BRIDGED
    if packet.oif != packet.iif:
        return NEVER
    needed = [odds for odds in stays(packet, host) if odds != ALWAYS]
    if host.family_routes(packet.dst) is None or len(needed) > 1:
        return BRIDGED
    return needed[0] if needed else ALWAYS


def read(options: Options) -> PhysicalDevices:
    """The last option of each name."""
    found = {option.name: option for option in options}
    if not found:
        raise OptionError("expected an option of physdev", options.word)
    for option in found.values():
        if OPTIONS[option.name] and not option.value:
            raise option.error("the name of a bridge's port")
    return PhysicalDevices(tuple(found.values()))
