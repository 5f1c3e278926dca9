"""REDIRECT: sends the packet to this host itself (kernel: nf_nat_redirect.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, Undecided, undecided
from kinspect.model.packet import Address, Packet
from kinspect.model.questions import Input
from kinspect.model.rules import Described, Effect, End, OneOf, Verdict
from kinspect.netfilter.options import Options, ValueKind
from kinspect.netfilter.printed import printed
from kinspect.netfilter.targets.nat import PortRange, read_ports, with_destination

OPTIONS: Final = {"--to-ports": 1, "--random": 0}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

_LOOPBACK: Final[dict[int, Address]] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}


@dataclass(frozen=True, slots=True)
class Redirect:
    """Changes the destination to the input interface's first address, or to loopback for local packets."""

    ports: PortRange | None = None
    random: bool = False

    def described(self) -> Described:
        """The port, if one is given."""
        return Described(f"REDIRECT{f' to port {self.ports}' if self.ports else ''}", "rewrites")

    def act(self, packet: Packet, host: Host) -> Effect:
        """Translate the destination; if the interface has no address, the packet is dropped."""
        if packet.local:
            return with_destination(packet, _LOOPBACK[packet.family], self.ports, anew=self.random)
        if packet.iif is None or host.links is None or packet.iif not in host.links:
            return self._any(packet, host)
        chosen = primary_address(packet, host)
        if chosen is None:
            return End(Verdict.DROP, packet)
        return with_destination(packet, chosen, self.ports, anew=self.random)

    def _any(self, packet: Packet, host: Host) -> Effect:
        """The candidates among the host's addresses if the interface is not known."""
        own = sorted(
            (a for a in host.addresses or () if a.version == packet.family and not a.is_loopback), key=int
        )
        interface = packet.iif or "the incoming interface"
        options: list[tuple[Undecided, Effect]] = [
            (
                undecided("own-address", f"the first address of {interface} is {address}", Input("links")),
                with_destination(packet, address, self.ports, anew=self.random),
            )
            for address in own or [packet.dst]
        ]
        return OneOf((*options, (ALWAYS, End(Verdict.DROP, packet))))


def primary_address(packet: Packet, host: Host) -> Address | None:
    """The first address of the packet's interface, in the kernel's order; None: it has none.

    A packet to a link-local IPv6 address gets a link-local one.
    """
    link = (host.links or {}).get(packet.iif or "")
    of_family = (
        [own.address for own in link.addresses if own.address.version == packet.family] if link else []
    )
    if packet.family == 6 and packet.dst.is_link_local:
        of_family = [address for address in of_family if address.is_link_local]
    return of_family[0] if of_family else None


def read(options: Options) -> Redirect:
    """``--to-ports``."""
    ports = options.get("--to-ports")
    return Redirect(ports.read(read_ports, "a port or range") if ports else None, options.has("--random"))


PRINTED: Final = (printed(r"redir ports (\S+)", r"--to-ports \1"),)
