"""``-m statistic``: one of so many packets, at random or by count (kernel: xt_statistic.c)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Chance, Odds, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import OptionError, Options, ValueKind, integer
from kinspect.netfilter.printed import NOT, printed

OPTIONS: Final = {"--mode": 1, "--probability": 1, "--every": 1, "--packet": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

DRAWS: Final = 1 << 31


@lru_cache
def _draw(threshold: int) -> Chance:
    return Chance(Fraction(threshold, DRAWS))


@dataclass(frozen=True, slots=True)
class Random:
    """Matches ``threshold`` of every 2**31 draws.

    iptables keeps ``lround(P * 2**31)`` and the kernel compares 31 random bits with it, so the
    printed decimals name one exact fraction.
    """

    threshold: int
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """The exact share of draws."""
        return _draw(DRAWS - self.threshold if self.inverted else self.threshold)

    def seen(self, packet: Packet) -> str:
        """A draw."""
        return "a random draw decides"


@dataclass(frozen=True, slots=True)
class Nth:
    """Matches one of every ``every`` packets that reach the rule.

    Its share of all packets that reach it is exact in the long run. Which packets it takes is related to
    which packets other such rules took, so its share of only those is not known. ``rule`` names the rule
    that owns the count.
    """

    every: int
    packet: int = 0
    inverted: bool = False
    rule: str = ""

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """The share in the long run; a question for packets that another count has already selected."""
        if self.every == 1:
            return NEVER if self.inverted else ALWAYS
        if packet.counted:
            before = ", ".join(f"{'taken' if took else 'passed'} by {rule}" for rule, took in packet.counted)
            question = f"the packets {before} are those that the count of {self.rule} takes"
            return unless(self.inverted, undecided("rate-limit", question))
        share = Fraction(1, self.every)
        return Chance(1 - share if self.inverted else share)

    def seen(self, packet: Packet) -> str:
        """A count."""
        return "the number of earlier packets decides"

    def asked(self, packet: Packet, held: bool) -> Packet:
        """The packet with the result of this count, on which later counts depend."""
        return packet.replace(counted=(*packet.counted, (self.rule, held))) if self.every > 1 else packet


def read(options: Options) -> Random | Nth:
    """Either mode."""
    mode = options.need("--mode")
    if mode.value == "random":
        option = options.need("--probability")
        # Plain decimals only: Fraction would accept 1/2 as well, and never finish 1e999999999.
        plain = re.fullmatch(r"[0-9]{1,20}(\.[0-9]{0,40})?|\.[0-9]{1,40}", option.value)
        share = Fraction(option.value) if plain else None
        if share is None or share > 1:
            raise option.error("a number between 0 and 1")
        # lround: halves are rounded away from zero.
        return Random(int(share * DRAWS + Fraction(1, 2)), option.inverted)
    if mode.value == "nth":
        every = options.need("--every")
        count = every.read(lambda text: integer(text, 1, 0x7FFFFFFF), "a count of at least 1")
        start = options.get("--packet")
        first = (
            start.read(lambda text: integer(text, 0, count - 1), f"a number below {count}") if start else 0
        )
        return Nth(count, first, every.inverted, options.rule)
    raise OptionError("expected random or nth after --mode", mode.word + 1)


def _nth(found: re.Match[str]) -> str:
    inverted = "! " if found["not"] else ""
    return f"-m statistic --mode nth {inverted}--every {found[2]} --packet {found[3] or 0}"


def _random(found: re.Match[str]) -> str:
    return f"-m statistic --mode random {'! ' if found['not'] else ''}--probability {found[2]}"


PRINTED: Final = (
    printed(rf"statistic mode random {NOT}probability (\S+)", _random),
    printed(rf"statistic mode nth {NOT}every (\d+)(?: packet (\d+))?", _nth),
)
