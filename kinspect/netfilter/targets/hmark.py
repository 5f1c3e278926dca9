"""HMARK: a mark that is a hash of the packet's fields (kernel: xt_HMARK.c); kinspect does not compute it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, Proceed
from kinspect.netfilter.options import Options, ValueKind

OPTIONS: Final = {
    f"--hmark-{end}": 1
    for end in ("tuple", "mod", "offset", "src-prefix", "dst-prefix", "sport-mask", "dport-mask", "spi-mask",
                "proto-mask", "rnd", "sport", "dport", "spi")
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class HashMark:
    """The packet's mark is not known from here on."""

    def described(self) -> Described:
        """Its name."""
        return Described("HMARK")

    def distinguishes(self) -> Distinctions:
        """Nothing: which mark it sets is not known."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """The walk goes on."""
        return Proceed(packet.replace(mark_unknown=0xFFFFFFFF))


def read(options: Options) -> HashMark:
    """``--hmark-mod``, and which fields are hashed."""
    options.need("--hmark-mod")
    return HashMark()
