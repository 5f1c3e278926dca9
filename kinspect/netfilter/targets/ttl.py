"""TTL and HL: change the number of hops that a packet has left (kernel: xt_HL.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, Proceed
from kinspect.netfilter.options import Options, ValueKind, integer

OPTIONS_TTL: Final = {"--ttl-set": 1, "--ttl-dec": 1, "--ttl-inc": 1}
OPTIONS_HL: Final = {"--hl-set": 1, "--hl-dec": 1, "--hl-inc": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys((*OPTIONS_TTL, *OPTIONS_HL), "plain")


@dataclass(frozen=True, slots=True)
class SetHops:
    """Sets it, or changes it by a value up or down, within 0 and 255."""

    operation: str  # set, dec, inc
    value: int

    def described(self) -> Described:
        """The operation."""
        return Described(f"TTL {self.operation} {self.value}")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """A number that is not known stays so if it is changed by a value."""
        if self.operation == "set":
            return Proceed(packet.replace(ttl=self.value))
        if packet.ttl is None:
            return Proceed(packet)
        by = self.value if self.operation == "inc" else -self.value
        return Proceed(packet.replace(ttl=min(255, max(0, packet.ttl + by))))


def _read(options: Options, name: str) -> SetHops:
    option = options.need(f"--{name}-set", f"--{name}-dec", f"--{name}-inc")
    value = option.read(lambda text: integer(text, 0, 255), "a number of hops up to 255")
    return SetHops(option.name[-3:], value)


def read_TTL(options: Options) -> SetHops:  # noqa: N802 - named after the target
    """``-j TTL``, for IPv4."""
    return _read(options, "ttl")


def read_HL(options: Options) -> SetHops:  # noqa: N802
    """``-j HL``, for IPv6."""
    return _read(options, "hl")
