"""``-m iprange``: a range of addresses (kernel: xt_iprange.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain
from kinspect.model.packet import Address, Packet, read_address
from kinspect.model.rules import Distinctions, Span
from kinspect.netfilter.options import Option, OptionError, Options, ValueKind
from kinspect.netfilter.printed import NOT, printed

OPTIONS: Final = {"--src-range": 1, "--dst-range": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")


@dataclass(frozen=True, slots=True)
class Between:
    """Addresses from ``low`` to ``high``, both included; or all others."""

    low: Address
    high: Address
    inverted: bool = False

    @property
    def span(self) -> Span:
        """The range as numbers."""
        return int(self.low), int(self.high)

    def holds(self, candidate: Address) -> bool:
        """Whether an address is one of them."""
        same = candidate.version == self.low.version
        return (same and int(self.low) <= int(candidate) <= int(self.high)) != self.inverted


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Source and destination are in the given ranges."""

    src: Between | None = None
    dst: Between | None = None

    def distinguishes(self) -> Distinctions:
        """The ranges."""
        return Distinctions(
            sources=(self.src.span,) if self.src else (), destinations=(self.dst.span,) if self.dst else ()
        )

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: it is in the header."""
        return certain(
            (self.src is None or self.src.holds(packet.src))
            and (self.dst is None or self.dst.holds(packet.dst))
        )

    def seen(self, packet: Packet) -> str:
        """The addresses."""
        return f"it goes from {packet.src} to {packet.dst}"


def _between(option: Option) -> Between:
    def ends(text: str) -> tuple[Address, Address]:
        low_text, dash, high_text = text.partition("-")
        low = read_address(low_text)
        high = read_address(high_text) if dash else low
        if low.version != high.version or int(high) < int(low):
            raise ValueError(text)
        return low, high

    low, high = option.read(ends, "a range of addresses, as ADDR-ADDR,")
    return Between(low, high, option.inverted)


def read(options: Options) -> AddressRange:
    """``--src-range`` and ``--dst-range``."""
    src, dst = options.get("--src-range"), options.get("--dst-range")
    if src is None and dst is None:
        raise OptionError("expected --src-range or --dst-range", options.word)
    return AddressRange(_between(src) if src else None, _between(dst) if dst else None)


PRINTED: Final = (
    printed(rf"source IP range {NOT}(\S+)", r"-m iprange --src-range \2"),
    printed(rf"destination IP range {NOT}(\S+)", r"-m iprange --dst-range \2"),
)
