"""CONNMARK: copies marks between the packet and its connection (kernel: xt_connmark.c)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, Proceed
from kinspect.netfilter.matches.conntrack import connected
from kinspect.netfilter.options import Options, ValueKind, integer
from kinspect.netfilter.printed import printed
from kinspect.netfilter.targets.mark import ALL, spelled
from kinspect.netfilter.targets.mark import OPTIONS as MARK_OPTIONS

OPTIONS: Final = {
    **MARK_OPTIONS, "--save-mark": 0, "--restore-mark": 0, "--nfmask": 1, "--ctmask": 1, "--mask": 1,
    "--left-shift-mark": 1, "--right-shift-mark": 1,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class SetConnectionMark:
    """``ctmark = (ctmark & ~mask) ^ value``, then shifted left by ``shift`` (below 0: right)."""

    value: int
    mask: int
    shift: int = 0

    def described(self) -> Described:
        """Value and mask."""
        return Described(f"CONNMARK {self.value:#x}/{self.mask:#x}")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """Has no effect on a packet that has no connection."""
        if not connected(packet):
            return Proceed(packet)
        mark = _shifted((packet.ct_mark & ~self.mask & ALL) ^ self.value, self.shift)
        unknown = _shifted(packet.ct_mark_open & ~self.mask, self.shift)
        return Proceed(packet.replace(ct_mark=mark, ct_mark_unknown=unknown))


@dataclass(frozen=True, slots=True)
class SaveMark:
    """``ctmark = (ctmark & ~ctmask) ^ (mark & nfmask)``; the copied bits are shifted."""

    nfmask: int = ALL
    ctmask: int = ALL
    shift: int = 0

    def described(self) -> Described:
        """Whence."""
        return Described("CONNMARK from the packet's mark")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """Has no effect on a packet that has no connection."""
        if not connected(packet):
            return Proceed(packet)
        moved = _shifted(packet.mark & self.nfmask, self.shift)
        unknown = _shifted(packet.mark_unknown & self.nfmask, self.shift)
        return Proceed(
            packet.replace(
                ct_mark=(packet.ct_mark & ~self.ctmask & ALL) ^ moved,
                ct_mark_unknown=packet.ct_mark_open & ~self.ctmask | unknown,
            )
        )


@dataclass(frozen=True, slots=True)
class RestoreMark:
    """``mark = (mark & ~nfmask) ^ (ctmark & ctmask)``; the copied bits are shifted."""

    nfmask: int = ALL
    ctmask: int = ALL
    shift: int = 0

    @property
    def marks(self) -> tuple[int, int]:
        """It clears the bits of its mask, unless the connection has them."""
        return 0, self.nfmask

    def described(self) -> Described:
        """Whence."""
        return Described("MARK from the connection's mark")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """Has no effect on a packet that has no connection."""
        if not connected(packet):
            return Proceed(packet)
        moved = _shifted(packet.ct_mark & self.ctmask, self.shift)
        unknown = _shifted(packet.ct_mark_open & self.ctmask, self.shift)
        return Proceed(
            packet.replace(
                mark=(packet.mark & ~self.nfmask & ALL) ^ moved,
                mark_unknown=packet.mark_unknown & ~self.nfmask | unknown,
            )
        )


def _shifted(bits: int, shift: int) -> int:
    return (bits << shift) & ALL if shift >= 0 else bits >> -shift


def read(options: Options) -> SetConnectionMark | SaveMark | RestoreMark:
    """Any of the spellings."""

    def mask(name: str) -> int:
        option = options.get(name, "--mask")
        return option.read(integer, "a mask") if option else ALL

    left, right = options.get("--left-shift-mark"), options.get("--right-shift-mark")
    shift = left.read(lambda t: integer(t, 0, 32), "a number of bits up to 32") if left else 0
    if right:
        shift = -right.read(lambda t: integer(t, 0, 32), "a number of bits up to 32")
    nfmask, ctmask = mask("--nfmask"), mask("--ctmask")
    if options.has("--save-mark"):
        return SaveMark(nfmask, ctmask, shift)
    if options.has("--restore-mark"):
        return RestoreMark(nfmask, ctmask, shift)
    return SetConnectionMark(*spelled(options), shift)


def _masked(option: str) -> Callable[[re.Match[str]], str]:
    return lambda found: f"{option} --mask {found[1]}" if found[1] else option


PRINTED: Final = (
    printed(r"CONNMARK x?set (\S+)", r"--set-xmark \1"),
    printed(r"CONNMARK or (\S+)", r"--or-mark \1"),
    printed(r"CONNMARK and (\S+)", r"--and-mark \1"),
    printed(r"CONNMARK xor (\S+)", r"--xor-mark \1"),
    printed(r"CONNMARK save(?: mask (\S+))?", _masked("--save-mark")),
    printed(r"CONNMARK restore(?: mask (\S+))?", _masked("--restore-mark")),
)
