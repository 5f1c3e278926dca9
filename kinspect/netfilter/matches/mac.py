"""``-m mac``: the sender's hardware address (kernel: xt_mac.c)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import NEVER, Odds, certain, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Options, ValueKind
from kinspect.netfilter.printed import NOT, printed

OPTIONS: Final = {"--mac-source": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class MacSource:
    """The frame came from the address.

    A packet that was made on this host or came in by the loopback has no Ethernet header: it never
    matches, even if inverted.
    """

    address: str
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the packet's is not known."""
        if packet.local or packet.iif == "lo":
            return NEVER
        if packet.mac_src is None:
            return unless(
                self.inverted,
                undecided(
                    "packet-field", f"the packet comes from the MAC address {self.address}", Input("packet")
                ),
            )
        return certain((packet.mac_src.lower() == self.address) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The frame's sender."""
        if packet.local or packet.iif == "lo":
            return "it did not come in by a frame"
        return f"its MAC address is {packet.mac_src or 'not known'}"


def hardware_address(text: str) -> str:
    """Six octets, in lower case with colons. Raises ValueError."""
    if not re.fullmatch(r"[0-9a-fA-F]{1,2}(:[0-9a-fA-F]{1,2}){5}", text):
        raise ValueError(text)
    return ":".join(octet.zfill(2) for octet in text.lower().split(":"))


def read(options: Options) -> MacSource:
    """``--mac-source``."""
    option = options.need("--mac-source")
    return MacSource(option.read(hardware_address, "a MAC address, as 00:11:22:33:44:55,"), option.inverted)


PRINTED: Final = (printed(rf"{NOT}MAC ?:?(\S+)", r"-m mac --mac-source \2"),)
