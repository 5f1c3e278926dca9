"""DSCP and TOS: set bits of the TOS octet (kernel: xt_DSCP.c).

If a packet's octet is not known when its DSCP is set, it is taken to have no ECN bits, as the first
packets of connections have none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, Proceed
from kinspect.netfilter.matches.dscp import code_point
from kinspect.netfilter.matches.tos import octet
from kinspect.netfilter.options import Options, ValueKind, integer

OPTIONS_DSCP: Final = {"--set-dscp": 1, "--set-dscp-class": 1}
OPTIONS_TOS: Final = {"--set-tos": 1, "--and-tos": 1, "--or-tos": 1, "--xor-tos": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys((*OPTIONS_DSCP, *OPTIONS_TOS), "plain")

_DSCP: Final = 0xFC


@dataclass(frozen=True, slots=True)
class SetTos:
    """``tos = (tos & ~mask) ^ value``."""

    value: int
    mask: int = 0xFF

    def described(self) -> Described:
        """Value and mask."""
        return Described(f"TOS {self.value:#04x}/{self.mask:#04x}")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """An octet that is not known stays so, unless the whole DSCP is set."""
        if packet.tos is None and self.mask & _DSCP != _DSCP:
            return Proceed(packet)
        return Proceed(packet.replace(tos=((packet.tos or 0) & ~self.mask & 0xFF) ^ self.value))


def read_DSCP(options: Options) -> SetTos:  # noqa: N802 - named after the target
    """``--set-dscp`` or ``--set-dscp-class``."""
    return SetTos(code_point(options.need("--set-dscp", "--set-dscp-class")) << 2, _DSCP)


def read_TOS(options: Options) -> SetTos:  # noqa: N802
    """``--set-tos`` and the spellings of its operation."""
    option = options.need("--set-tos", "--and-tos", "--or-tos", "--xor-tos")
    if option.name == "--set-tos":
        return SetTos(*option.read(lambda text: octet(text, 0xFF), "a TOS, as value, value/mask or a name,"))
    bits = option.read(lambda text: integer(text, 0, 0xFF), "bits of an octet")
    if option.name == "--and-tos":
        return SetTos(0, ~bits & 0xFF)
    return SetTos(bits, bits if option.name == "--or-tos" else 0)
