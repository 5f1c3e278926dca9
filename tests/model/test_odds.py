"""The laws that weights keep: nothing is lost, an answer is kept, a question that changes nothing is gone."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.model.odds import EVERYTHING, NOTHING, Chance, Odds, Undecided, Weight, certain, unless
from kinspect.model.questions import Question

QUESTIONS = [Question("packet-field", name) for name in "abcd"]
A, B, *_ = QUESTIONS

shares = st.fractions(min_value=0, max_value=1, max_denominator=8)
odds = st.one_of(shares.map(Chance), st.builds(Undecided, st.sampled_from(QUESTIONS), st.booleans()))
conjunctions = st.lists(odds, max_size=4)


def worth(weight: Weight, world: dict[Question, bool]) -> Fraction:
    """The share in a world where every question has its answer."""
    return sum(
        (value for answers, value in weight.terms.items() if all(world[q] is a for q, a in answers)),
        Fraction(0),
    )


def worlds() -> list[dict[Question, bool]]:
    return [
        dict(zip(QUESTIONS, answers, strict=True))
        for answers in product([True, False], repeat=len(QUESTIONS))
    ]


def chance(odd: Odds, world: dict[Question, bool]) -> Fraction:
    match odd:
        case Chance(share):
            return share
        case Undecided(question, answer):
            return Fraction(world[question] is answer)


@given(st.lists(conjunctions, max_size=4))
def test_a_split_loses_nothing_and_gains_nothing(splits: list[list[Odds]]) -> None:
    live = EVERYTHING
    parts = []
    for conjunction in splits:
        held, live = live.split(conjunction)
        parts.append(held)
    total = NOTHING
    for part in [*parts, live]:
        total = total + part
    assert total.exact == 1
    assert total.bounds() == (Fraction(1), Fraction(1))


@given(st.lists(conjunctions, min_size=1, max_size=3))
def test_weights_are_what_they_would_be_in_every_world(splits: list[list[Odds]]) -> None:
    live = EVERYTHING
    for conjunction in splits:
        held, missed = live.split(conjunction)
        for world in worlds():
            all_hold = Fraction(1)
            seen: set[str] = set()
            for odd in conjunction:
                # the same question asked twice has one answer
                all_hold *= chance(odd, world)
                seen.add(str(odd))
            assert worth(held, world) == worth(live, world) * all_hold
            assert worth(missed, world) == worth(live, world) * (1 - all_hold)
        live = missed


@given(st.lists(conjunctions, min_size=1, max_size=3))
def test_bounds_are_the_least_and_the_greatest_world(splits: list[list[Odds]]) -> None:
    weight = EVERYTHING
    for number, conjunction in enumerate(splits):
        held, missed = weight.split(conjunction)
        weight = missed if number % 2 else held
    found = [worth(weight, world) for world in worlds()]
    assert weight.bounds() == (min(found), max(found))


@given(conjunctions, conjunctions)
def test_a_product_is_the_product_in_every_world(some: list[Odds], others: list[Odds]) -> None:
    one, other = EVERYTHING.split(some)[0], EVERYTHING.split(others)[0]
    for world in worlds():
        assert worth(one.times(other), world) == worth(one, world) * worth(other, world)


@given(odds)
def test_inversion_is_the_complement(odd: Odds) -> None:
    for world in worlds():
        assert chance(odd, world) + chance(odd.inverted(), world) == 1
    assert odd.inverted().inverted() == odd
    assert unless(True, odd) == odd.inverted()
    assert unless(False, odd) == odd


def test_a_question_that_made_no_difference_is_forgotten() -> None:
    held, missed = EVERYTHING.split([Undecided(A), Undecided(B, False)])
    assert held.questions() == (A, B)
    assert (held + missed).questions() == ()
    assert (held + missed).exact == 1


def test_an_answer_once_given_is_kept() -> None:
    held, _ = EVERYTHING.split([Undecided(A)])
    again, never = held.split([Undecided(A)])
    assert again.bounds() == held.bounds()
    assert not never
    assert not held.split([Undecided(A, False)])[0]


def test_very_many_questions_widen_bounds_and_end() -> None:
    weight = NOTHING
    for number in range(40):
        one, other = Question("mark", f"q{number}"), Question("mark", f"q{(number * 7) % 40}x")
        part = EVERYTHING.scaled(Fraction(1, 40)).given(one, True).given(other, True)
        weight = weight + part
    low, high = weight.bounds()
    assert low == 0
    assert high == 1


@pytest.mark.parametrize(("weight", "exact"), [(EVERYTHING, Fraction(1)), (NOTHING, Fraction(0))])
def test_all_and_nothing_are_exact(weight: Weight, exact: Fraction) -> None:
    assert weight.exact == exact
    assert bool(weight) is bool(exact)


def test_certain_is_a_chance() -> None:
    assert certain(True) == Chance(Fraction(1))
    assert certain(False) == Chance(Fraction(0))
