"""Shares in documents: exact while they are short, and of bounded length."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.report.numbers import LONGEST, exact_text, number


def even_shares(endpoints: int) -> list[Fraction]:
    """The share of each endpoint in kube-proxy's chain: its rules draw one of 2**31 numbers."""
    left, shares = Fraction(1), []
    for waiting in range(endpoints, 1, -1):
        draw = Fraction(round(2**31 / waiting), 2**31)
        shares.append(left * draw)
        left *= 1 - draw
    return [*shares, left]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(1), "1"),
        (Fraction(1, 3), "1/3"),
        (Fraction(715827883, 2**31), "715827883/2147483648"),
        (Fraction(1, 10**77), f"1/1{'0' * 77}"),
        (Fraction(10**39 - 1, 10**39), f"{'9' * 39}/1{'0' * 39}"),
    ],
)
def test_a_fraction_of_80_characters_is_exact(share: Fraction, text: str) -> None:
    assert exact_text(share) == (text, True)


@given(st.fractions(0, 1), st.integers(1, 2**2000), st.integers(1, 2**2000))
def test_a_longer_one_is_the_nearest_that_fits(short: Fraction, over: int, more: int) -> None:
    share = Fraction(over, over + more) * short
    text, exact = exact_text(share)
    assert len(text) <= LONGEST
    near = Fraction(text)
    assert exact is (near == share)
    if not exact and share:
        # As near as doubles can tell, and by far more where a share is not tiny.
        assert abs(near - share) <= max(share / 10**30, Fraction(1, 10**77))


@given(st.integers(2, 10**12), st.integers(1, 10**12))
def test_nothing_of_that_length_is_nearer(under: int, over: int) -> None:
    """Beside the one that is given lie two others, as near as fractions of that length can be."""
    share = Fraction(min(over, under - 1), under) + Fraction(1, 3**200)
    near = Fraction(exact_text(share)[0])
    # limit_denominator knows the nearest of each length of the denominator.
    for digits in range(1, LONGEST - 1):
        other = share.limit_denominator(10**digits - 1)
        if len(str(other)) <= LONGEST:
            assert abs(near - share) <= abs(other - share)


@pytest.mark.parametrize("endpoints", [10, 400, 1_000])
def test_numbers_are_right_to_the_last_digit_of_a_double(endpoints: int) -> None:
    for share in even_shares(endpoints)[:: max(1, endpoints // 10)]:
        scaled = share.numerator * 2**200 // share.denominator
        assert number(share) == float(Fraction(scaled, 2**200))


def test_a_share_of_5000_endpoints_is_written_in_80_characters() -> None:
    last = even_shares(5_000)[-1]
    text, exact = exact_text(last)
    assert (len(text) <= LONGEST, exact) == (True, False)
    assert abs(Fraction(text) / last - 1) < Fraction(1, 10**60)
