"""NETMAP: maps one network to another, host by host (kernel: xt_NETMAP.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Address, Packet
from kinspect.model.rules import Described, Effect
from kinspect.netfilter.options import Masked, Options, ValueKind
from kinspect.netfilter.targets.nat import with_destination, with_source

OPTIONS: Final = {"--to": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class Netmap:
    """Replaces the network bits: of the destination on the way in, of the source on the way out."""

    network: Masked

    def described(self) -> Described:
        """The network."""
        return Described(f"NETMAP to {self.network}", "rewrites")

    def act(self, packet: Packet, host: Host) -> Effect:
        """Translate the side that this hook is for."""
        if packet.dst_bound:
            return with_source(packet, self._mapped(packet.src))
        return with_destination(packet, self._mapped(packet.dst), None)

    def _mapped(self, old: Address) -> Address:
        number = int(old) & ~self.network.mask | self.network.value
        return IPv4Address(number) if old.version == 4 else IPv6Address(number)


def read(options: Options) -> Netmap:
    """``--to ADDRESS[/MASK]``."""
    return Netmap(options.need("--to").read(Masked.read, "an address or network"))
