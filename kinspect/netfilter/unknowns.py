"""Decisions that depend on facts that nobody read: plain functions, and every way they can come out.

A function that decides something asks ``Facts.holds`` for what may be missing. ``explored`` calls it
again for each answer that the missing fact can have; where the outcome is the same either way, the
fact did not matter, and no question is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from kinspect.model.questions import Input, Question, QuestionKind

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fork(Generic[T]):
    """Two outcomes, and the question that decides between them."""

    question: Question
    applies: T | Fork[T]
    usual: T | Fork[T]


class _Missing(Exception):
    def __init__(self, question: Question) -> None:
        super().__init__(question.text)
        self.question = question


@dataclass(frozen=True, slots=True)
class Facts:
    """What is assumed of the facts that are missing."""

    assumed: Mapping[Question, bool]

    def holds(self, kind: QuestionKind, words: str, known: bool | None = None, *answered_by: Input) -> bool:
        """What is known, or else assumed as the answer to a question."""
        return known if known is not None else self.assumes(Question(kind, words, answered_by))

    def assumes(self, question: Question) -> bool:
        """The answer that is assumed."""
        if question not in self.assumed:
            raise _Missing(question)
        return self.assumed[question]


_NOTHING = Facts({})


def explored(decide: Callable[[Facts], T], facts: Facts = _NOTHING) -> T | Fork[T]:
    """What a function comes to, for each answer to the questions that matter to it."""
    try:
        return decide(facts)
    except _Missing as missing:
        question = missing.question
    applies = explored(decide, Facts({**facts.assumed, question: True}))
    usual = explored(decide, Facts({**facts.assumed, question: False}))
    return usual if applies == usual else Fork(question, applies, usual)


def the_same(decision: T | Fork[T], read: Callable[[T], object]) -> object | None:
    """What all outcomes have in common, by ``read``; None where they differ."""
    if not isinstance(decision, Fork):
        return read(decision)
    one, other = (the_same(part, read) for part in (decision.applies, decision.usual))
    return one if one == other else None


def usual(decision: T | Fork[T]) -> T:
    """The outcome if every open question is answered with no."""
    while isinstance(decision, Fork):
        decision = decision.usual
    return decision
