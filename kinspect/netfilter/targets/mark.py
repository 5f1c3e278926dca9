"""MARK: sets the packet's mark, which routing and later rules can match on (kernel: xt_mark.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, Proceed
from kinspect.netfilter.options import OptionError, Options, ValueKind, integer, masked
from kinspect.netfilter.printed import printed

OPTIONS: Final = {"--set-xmark": 1, "--set-mark": 1, "--and-mark": 1, "--or-mark": 1, "--xor-mark": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

ALL: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SetMark:
    """``mark = (mark & ~mask) ^ value``."""

    value: int
    mask: int

    @property
    def marks(self) -> tuple[int, int]:
        """The bits that it sets (or inverts, for --xor-mark), and those that it clears."""
        return self.value, self.mask & ~self.value

    def described(self) -> Described:
        """Value and mask."""
        return Described(f"MARK {self.value:#x}/{self.mask:#x}")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """The walk goes on with the new mark."""
        return Proceed(
            packet.replace(
                mark=(packet.mark & ~self.mask & ALL) ^ self.value,
                mark_unknown=packet.mark_unknown & ~self.mask,
            )
        )


def spelled(options: Options) -> tuple[int, int]:
    """Value and mask, in any spelling of the operation (iptables-extensions(8), MARK)."""
    for option in options:
        match option.name:
            case "--set-xmark":
                return option.read(masked, "a mark, as value or value/mask,")
            case "--set-mark":
                value, mask = option.read(masked, "a mark, as value or value/mask,")
                return value, mask | value
            case "--or-mark":
                value = option.read(integer, "a mark")
                return value, value
            case "--and-mark":
                return 0, ~option.read(integer, "a mark") & ALL
            case "--xor-mark":
                return option.read(integer, "a mark"), 0
            case _:
                continue
    names = ", ".join(list(OPTIONS)[:-1])
    raise OptionError(f"expected {names} or {list(OPTIONS)[-1]}", options.word)


def read(options: Options) -> SetMark:
    """``-j MARK``."""
    return SetMark(*spelled(options))


PRINTED: Final = (
    printed(r"MARK x?set (\S+)", r"--set-xmark \1"),
    printed(r"MARK or (\S+)", r"--or-mark \1"),
    printed(r"MARK and (\S+)", r"--and-mark \1"),
    printed(r"MARK xor (\S+)", r"--xor-mark \1"),
)
