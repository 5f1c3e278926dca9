"""The odds of a match, and the weight of a branch of a trace.

A match answers ``Chance`` (an exact probability; 0 and 1 are chances) or ``Undecided`` (a question
that no dump answers, see ``model.questions``). A branch weighs a ``Weight``: a sum of exact shares,
each under a set of answers to such questions. If no question is open, a weight is one exact number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

import msgspec

from kinspect.model.questions import Input, Question, QuestionKind, together

ZERO = Fraction(0)
ONE = Fraction(1)


class Chance(msgspec.Struct, frozen=True):
    """Holds for this share of the packets: 0 is a certain no, 1 a certain yes."""

    share: Fraction

    def inverted(self) -> Chance:
        """The odds of the opposite."""
        if self is NEVER:
            return ALWAYS
        return NEVER if self is ALWAYS else Chance(ONE - self.share)


class Undecided(msgspec.Struct, frozen=True):
    """Not known from what was read: holds if ``question`` is answered with ``answer``.

    The same question met again on a path has the same answer.
    """

    question: Question
    answer: bool = True

    def inverted(self) -> Undecided:
        """The odds of the opposite: the same question, the other answer."""
        return Undecided(self.question, not self.answer)


def undecided(kind: QuestionKind, text: str, *answered_by: Input) -> Undecided:
    """Odds that a question decides: they hold if its answer is yes."""
    return Undecided(Question(kind, text, answered_by))


def both(one: Undecided, other: Undecided) -> Undecided:
    """The odds of both together, as one question."""
    return Undecided(together(((one.question, one.answer), (other.question, other.answer))))


Odds: TypeAlias = Chance | Undecided

NEVER = Chance(ZERO)
ALWAYS = Chance(ONE)


def certain(holds: bool) -> Chance:
    """A match that is decided, yes or no."""
    return ALWAYS if holds else NEVER


def unless(inverted: bool, odds: Odds) -> Odds:
    """``odds``, or their opposite if the option was written with ``!``."""
    return odds.inverted() if inverted else odds


Answers: TypeAlias = frozenset[tuple[Question, bool]]
_NO_ANSWERS: Answers = frozenset()

# Beyond this amount of splitting, bounds are widened to what certainly holds (see Weight.bounds): as many
# splits, each of which looks at all answers of all terms.
_SPLITS = 4096
_ANSWERS = 2_000_000


# A draw has 31 bits, so a share behind n draws has 31 n. Beyond this many bits shares are rounded, far below
# the printed precision, and so that their sum is still exactly 1.
_PRECISE = 2048


def _rounded(share: Fraction) -> Fraction:
    if share.denominator.bit_length() <= _PRECISE:
        return share
    return Fraction((share.numerator << _PRECISE) // share.denominator, 1 << _PRECISE)


class Weight(msgspec.Struct, frozen=True):
    """An exact share of all packets, by the answers that it depends on.

    ``terms`` maps a set of answers to the share that exists under all of them; shares of all
    terms whose answers are given add up. ``{}: 1/2`` is one half whatever is answered.
    """

    terms: Mapping[Answers, Fraction] = msgspec.field(default_factory=lambda: {_NO_ANSWERS: ONE})

    def scaled(self, share: Fraction) -> Weight:
        """The weight times a chance."""
        if share == ONE:
            return self
        if self is EVERYTHING and share:
            return Weight({_NO_ANSWERS: share})
        return Weight({answers: part for answers, value in self.terms.items() if (part := value * share)})

    def times(self, other: Weight) -> Weight:
        """The part that is left of this weight after another partial weight."""
        if self is EVERYTHING or other is EVERYTHING:
            return other if self is EVERYTHING else self
        share = other.sole
        if share is not None:
            return self.scaled(share)
        # A question that both depend on has one answer: contradictory terms are removed.
        product: dict[Answers, Fraction] = {}
        for answers, value in self.terms.items():
            for more, part in other.terms.items():
                if not any((question, not answer) in answers for question, answer in more):
                    key = answers | more
                    product[key] = product.get(key, ZERO) + value * part
        return Weight(_combined(product, sorted(product, key=len, reverse=True)))

    def given(self, question: Question, answer: bool) -> Weight:
        """The part of this weight under one more answer, without contradictory terms."""
        kept: dict[Answers, Fraction] = {}
        for answers, value in self.terms.items():
            if (question, not answer) not in answers:
                key = answers | {(question, answer)}
                kept[key] = kept.get(key, ZERO) + value
        return Weight(_combined(kept, sorted(kept, key=len, reverse=True)))

    def _drawn(self, share: Fraction) -> tuple[Weight, Weight]:
        """(the weight times a chance, the rest of it): their sum is always the whole weight."""
        value = self.sole
        if value is not None and value.denominator.bit_length() < _PRECISE:
            return self.scaled(share), self.scaled(_rest(share))
        taken = {answers: _rounded(value * share) for answers, value in self.terms.items()}
        rest = {answers: value - taken[answers] for answers, value in self.terms.items()}
        return (
            Weight({answers: value for answers, value in taken.items() if value}),
            Weight({answers: value for answers, value in rest.items() if value}),
        )

    def split(self, odds: Iterable[Odds]) -> tuple[Weight, Weight]:
        """(the part for which all of the odds hold, the rest)."""
        held, missed = self, NOTHING
        for odd in odds:
            match odd:
                case Chance(share):
                    if share != ONE:
                        held, rest = held._drawn(share)
                        missed = missed + rest
                case Undecided(question, answer):
                    missed = missed + held.given(question, not answer)
                    held = held.given(question, answer)
        return held, missed

    def __add__(self, other: Weight) -> Weight:
        if not self.terms:
            return other
        if not other.terms:
            return self
        merged = dict(self.terms)
        for answers, value in other.terms.items():
            merged[answers] = merged.get(answers, ZERO) + value
        return Weight(_combined(merged, list(other.terms)))

    def __bool__(self) -> bool:
        return bool(self.terms)

    @property
    def plain(self) -> bool:
        """Whether it depends on no question at all."""
        return self.sole is not None

    @property
    def sole(self) -> Fraction | None:
        """The share, if no question is open; otherwise None."""
        terms = self.terms
        return terms.get(_NO_ANSWERS) if len(terms) == 1 else None if terms else ZERO

    @property
    def exact(self) -> Fraction | None:
        """The single share of this weight, or None if it depends on an answer."""
        if len(self.terms) < 2:
            return self.sole
        low, high = self.counts()
        return low if low == high else None

    def bounds(self) -> tuple[Fraction, Fraction]:
        """The least and the greatest share over all ways to answer; never too narrow.

        Splits by one question after another; with very many questions it stops and uses safe
        bounds: the terms without a question as the least, the sum of all as the greatest.
        """
        low, high = self.counts()
        return low, high if high.numerator <= high.denominator else ONE

    def counts(self) -> tuple[Fraction, Fraction]:
        """As ``bounds``, for events that one packet may cause more than once, such as meeting a rule."""
        if (sure := self.sole) is not None:
            return sure, sure
        size = sum(len(answers) for answers in self.terms)
        return _bounds(dict(self.terms), iter(range(min(_SPLITS, _ANSWERS // (size or 1)))))

    def questions(self) -> tuple[Question, ...]:
        """The questions that it depends on, sorted by their words."""
        asked = {question for answers in self.terms for question, _ in answers}
        return tuple(sorted(asked, key=lambda question: question.text))


@lru_cache(1024)
def _rest(share: Fraction) -> Fraction:
    return ONE - share


NOTHING = Weight({})
EVERYTHING = Weight()


def _combined(terms: dict[Answers, Fraction], fresh: list[Answers]) -> dict[Answers, Fraction]:
    """Terms with equal shares that differ in one answer only are one term without the question.

    ``fresh`` are the terms that have changed: the others are known not to differ like this.
    """
    if not all(terms.values()):
        terms = {answers: value for answers, value in terms.items() if value}
    while fresh:
        answers = fresh.pop(0)
        if answers not in terms or len(terms) < 2 or not answers:
            continue
        other = _counterpart(terms, answers)
        if other is not None:
            value = terms.pop(answers)
            del terms[other]
            rest = answers & other
            terms[rest] = terms.get(rest, ZERO) + value
            fresh.append(rest)
    return terms


def _counterpart(terms: dict[Answers, Fraction], answers: Answers) -> Answers | None:
    """A term with the same share that differs in one answer only."""
    value, size = terms[answers], len(answers)
    if len(terms) < size:  # either way it takes as many looks as there are terms, or answers
        for other, share in terms.items():
            if len(other) == size and share == value:
                odd = answers ^ other
                if len(odd) == 2 and len({question for question, _ in odd}) == 1:
                    return other
        return None
    for question, answer in answers:
        other = answers - {(question, answer)} | {(question, not answer)}
        if terms.get(other) == value:
            return other
    return None


def _bounds(terms: dict[Answers, Fraction], budget: Iterator[int]) -> tuple[Fraction, Fraction]:
    sure = terms.get(_NO_ANSWERS, ZERO)
    open_terms = {answers: value for answers, value in terms.items() if answers}
    if not open_terms:
        return sure, sure
    if len(open_terms) == 1:
        (share,) = open_terms.values()
        return sure, sure + share
    if next(budget, None) is None:
        return sure, sure + sum(open_terms.values(), ZERO)
    counted: dict[Question, int] = {}
    for answers in open_terms:
        for question, _ in answers:
            counted[question] = counted.get(question, 0) + 1
    question = max(sorted(counted, key=lambda each: each.text), key=lambda each: counted[each])
    results = []
    for answer in (True, False):
        chosen: dict[Answers, Fraction] = {}
        for answers, value in open_terms.items():
            if (question, not answer) not in answers:
                key = answers - {(question, answer)}
                chosen[key] = chosen.get(key, ZERO) + value
        results.append(_bounds(chosen, budget))
    return sure + min(low for low, _ in results), sure + max(high for _, high in results)
