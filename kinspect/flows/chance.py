"""Whether a count is more than chance: the exact binomial test.

Each new connection is a draw of its own with the share that the rules give (xt_statistic), so of ``drawn``
connections the number that one endpoint got is binomially distributed. No normal approximation: shares may
be small, and connections few.
"""

from __future__ import annotations

from fractions import Fraction
from math import exp, lgamma, log
from typing import Final

_NEGLIGIBLE: Final = 1e-18  # of what was summed: a term below it, and all after it, change nothing


def chance(hits: int, drawn: int, share: Fraction) -> float:
    """The probability that a count differs at least so much by chance: twice the smaller tail, 1 at most."""
    if not 0 < share < 1:
        return 1.0 if hits == drawn * share else 0.0
    tail = min(_tail(hits, drawn, share, -1), _tail(hits, drawn, share, 1))
    return min(1.0, 2 * tail)


def _tail(hits: int, drawn: int, share: Fraction, step: int) -> float:
    """The probability of this count and of all on one side of it."""
    odds = share / (1 - share)
    term = exp(
        lgamma(drawn + 1) - lgamma(hits + 1) - lgamma(drawn - hits + 1)
        + hits * log(share) + (drawn - hits) * log(1 - share)
    )  # fmt: skip
    total, at = term, hits
    # Each term follows from the one before it, so that no factorial is needed twice.
    while 0 <= at + step <= drawn:
        ratio = (drawn - at) / (at + 1) * odds if step > 0 else at / (drawn - at + 1) / odds
        term *= float(ratio)
        at += step
        total += term
        if ratio < 1 and term < total * _NEGLIGIBLE:
            break
    return total
