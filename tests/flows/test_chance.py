"""The exact binomial test, against sums of exact fractions."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from kinspect.flows.chance import chance


def exact(hits: int, drawn: int, share: Fraction) -> Fraction:
    terms = [comb(drawn, k) * share**k * (1 - share) ** (drawn - k) for k in range(drawn + 1)]
    return min(Fraction(1), 2 * min(sum(terms[: hits + 1], Fraction(0)), sum(terms[hits:], Fraction(0))))


@pytest.mark.parametrize("drawn", [1, 2, 10, 97])
@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 50), Fraction(99, 100)])
def test_it_is_the_sum_of_the_tail(drawn: int, share: Fraction) -> None:
    for hits in range(drawn + 1):
        assert chance(hits, drawn, share) == pytest.approx(float(exact(hits, drawn, share)), rel=1e-9)


def test_sixty_to_forty_is_chance_of_ten_and_not_of_a_thousand() -> None:
    assert chance(6, 10, Fraction(1, 2)) > 0.5
    assert chance(600, 1000, Fraction(1, 2)) < 1e-9
    assert chance(500_500, 1_000_000, Fraction(1, 2)) > 0.3


def test_what_must_be_and_what_cannot_be() -> None:
    assert chance(7, 7, Fraction(1)) == 1
    assert chance(6, 7, Fraction(1)) == 0
    assert chance(0, 7, Fraction(0)) == 1
