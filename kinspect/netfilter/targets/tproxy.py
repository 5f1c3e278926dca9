"""TPROXY: delivers the unchanged packet to a transparent socket of this host (kernel: xt_TPROXY.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, undecided
from kinspect.model.packet import Address, Packet, endpoint_text, protocol_name, read_address
from kinspect.model.rules import Described, Effect, End, OneOf, Verdict
from kinspect.netfilter.options import Options, ValueKind, masked, port
from kinspect.netfilter.targets.redirect import primary_address

ALWAYS_OPEN: Final = "a program on the host receives the packet, if it listens"
OPTIONS: Final = {"--on-port": 1, "--on-ip": 1, "--tproxy-mark": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class Tproxy:
    """If a socket listens there, the packet is accepted with the mark; else it is dropped."""

    port: int  # 0: the packet's own
    address: Address | None = None  # None: the first of the incoming interface
    value: int = 0
    mask: int = 0

    def described(self) -> Described:
        """The port, if one is given."""
        return Described(f"TPROXY to port {self.port}" if self.port else "TPROXY")

    def act(self, packet: Packet, host: Host) -> Effect:
        """Undecided: whether a socket listens."""
        on = self.address or primary_address(packet, host) or packet.dst
        where = f"{protocol_name(packet.protocol)} {endpoint_text(on, self.port or packet.dport)}"
        listens = undecided("socket", f"a transparent proxy of this host listens on {where}")
        marked = packet.replace(
            mark=packet.mark & ~self.mask ^ self.value, mark_unknown=packet.mark_unknown & ~self.mask
        )
        return OneOf(((listens, End(Verdict.ACCEPT, marked)), (ALWAYS, End(Verdict.DROP, packet))))


def read(options: Options) -> Tproxy:
    """``--on-port``, ``--on-ip``, ``--tproxy-mark``."""
    on_ip, mark = options.get("--on-ip"), options.get("--tproxy-mark")
    value, mask = mark.read(masked, "a mark, as value or value/mask,") if mark else (0, 0)
    at = on_ip.read(read_address, "an address") if on_ip else None
    # A dump has 0.0.0.0 or :: if no address was given.
    return Tproxy(
        options.need("--on-port").read(port, "a port"),
        None if at is None or at.is_unspecified else at,
        value,
        mask,
    )
