"""``-m pkttype``: to whom the link layer's frame was addressed (kernel: xt_pkttype.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.netfilter.matches.addrtype import address_type
from kinspect.netfilter.options import Options, ValueKind

OPTIONS: Final = {"--pkt-type": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

# As iptables knows them, with its short names.
_NAMES: Final = {
    "unicast": "unicast", "host": "unicast", "broadcast": "broadcast", "multicast": "multicast",
    "uni": "unicast", "broad": "broadcast", "multi": "multicast",
    "bcast": "broadcast", "mcast": "multicast",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PacketType:
    """The frame was addressed to this host, to all, or to a group.

    A packet to a single address comes in a frame to this host; a packet of this host counts as unicast.
    """

    type: str
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided for packets to several hosts: frames of either type can carry them."""
        dst = packet.first.dst
        alone = (
            address_type(dst, host) in ("UNICAST", "LOCAL")
            if isinstance(dst, IPv4Address)
            else not dst.is_multicast
        )
        if packet.local or alone:
            return certain((self.type == "unicast") != self.inverted)
        return unless(
            self.inverted,
            undecided("packet-field", f"the packet comes in a {self.type} frame", Input("packet")),
        )

    def seen(self, packet: Packet) -> str:
        """Its destination."""
        return f"the destination was {packet.first.dst}"


def read(options: Options) -> PacketType:
    """``--pkt-type``."""
    option = options.need("--pkt-type")
    if option.value.lower() not in _NAMES:
        raise option.error("unicast, broadcast or multicast")
    return PacketType(_NAMES[option.value.lower()], option.inverted)
