"""Shares as text and as numbers, in bounded length.

kube-proxy's chain for n endpoints multiplies n draws of 31 bits, so the exact share of one endpoint of 5,000
has some 90,000 digits. It stays exact inside; the output has a limited length.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import Final

LONGEST: Final = 80  # characters of a fraction, "/" included
_SURE: Final = 120  # bits of numerator and denominator together that certainly fit
_NEVER: Final = 600  # bits that certainly do not; also the number used for an approximation


def number(share: Fraction) -> float:
    """The nearest double: Python divides integers of any size with one rounding, to the last digit."""
    return share.numerator / share.denominator


def exact_text(share: Fraction) -> tuple[str, bool]:
    """A fraction in at most 80 characters, and whether that is the exact one or only the nearest."""
    bits = share.numerator.bit_length() + share.denominator.bit_length()
    if bits <= _NEVER:  # Python refuses to write very long integers, and it would take quadratic time
        text = str(share)
        if bits <= _SURE or len(text) <= LONGEST:
            return text, True
    return _nearest(share.numerator, share.denominator), False


@lru_cache(8192)
def _nearest(numerator: int, denominator: int) -> str:
    """The nearest fraction that fits; of 0 < numerator/denominator < 1, or at least a positive one."""
    # Beyond this many bits nothing changes which fraction of 80 characters is the nearest.
    spare = numerator.bit_length() - _NEVER
    if spare > 0:
        numerator, denominator = numerator >> spare, denominator >> spare
    digits = LONGEST - 1
    value = Fraction(numerator, denominator)
    # The smaller the share, the more of the digits the denominator takes.
    ahead = (denominator.bit_length() - numerator.bit_length()) * 30103 // 100_000
    even = min((digits - ahead) // 2, digits - 2)
    best: Fraction | None = None
    for top in range(max(1, even - 1), max(1, min(digits - 1, even + 2)) + 1):
        found = _within(numerator, denominator, 10**top - 1, 10 ** (digits - top) - 1)
        if best is None or abs(found - value) < abs(best - value):
            best = found
    return str(best)


def _within(numerator: int, denominator: int, most_over: int, most_under: int) -> Fraction:
    """The fraction nearest to one, with limits to both its parts.

    The walk of ``Fraction.limit_denominator`` through the convergents, which grow in both parts at each
    step: it ends at the last one within both limits, or at the one between that is still within.
    """
    over0, under0, over1, under1 = 0, 1, 1, 0
    rest, by = numerator, denominator
    while by:
        times = rest // by
        over2, under2 = over0 + times * over1, under0 + times * under1
        if over2 > most_over or under2 > most_under:
            break
        over0, under0, over1, under1 = over1, under1, over2, under2
        rest, by = by, rest - times * by
    else:
        return Fraction(over1, under1)
    steps = min(
        (most_over - over0) // over1 if over1 else most_under,
        (most_under - under0) // under1 if under1 else most_over,
    )
    between = Fraction(over0 + steps * over1, under0 + steps * under1)
    if not under1:
        return between
    last, value = Fraction(over1, under1), Fraction(numerator, denominator)
    return last if abs(last - value) <= abs(between - value) else between
