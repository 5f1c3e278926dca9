"""MARK: sets the packet's mark, which routing and later rules can ask for (kernel: xt_mark.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import Effect, Proceed
from kinspect.netfilter.options import OptionError, Options, integer, masked

OPTIONS: Final = {"--set-xmark": 1, "--set-mark": 1, "--and-mark": 1, "--or-mark": 1, "--xor-mark": 1}

_ALL: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SetMark:
    """``mark = (mark & ~mask) ^ value``."""

    value: int
    mask: int

    def act(self, packet: Packet, host: Host) -> Effect:
        """The walk goes on with the new mark."""
        return Proceed(packet.to(mark=(packet.mark & ~self.mask & _ALL) ^ self.value))


def spelled(options: Options, *, missing: str) -> SetMark:
    """Any of the spellings of one operation (iptables-extensions, MARK)."""
    for option in options:
        match option.name:
            case "--set-xmark":
                return SetMark(*option.read(masked, "a mark, as value or value/mask,"))
            case "--set-mark":
                value, mask = option.read(masked, "a mark, as value or value/mask,")
                return SetMark(value, mask | value)
            case "--or-mark":
                value = option.read(integer, "a mark")
                return SetMark(value, value)
            case "--and-mark":
                return SetMark(0, ~option.read(integer, "a mark") & _ALL)
            case "--xor-mark":
                return SetMark(option.read(integer, "a mark"), 0)
            case _:
                continue
    raise OptionError(missing, options.word)


def read(options: Options) -> SetMark:
    """``-j MARK``."""
    return spelled(options, missing="expected --set-xmark, --set-mark, --and-mark, --or-mark or --xor-mark")
