"""Questions are data: kinds with public names, and the inputs that answer them."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from kinspect.model.odds import both, undecided
from kinspect.model.questions import KINDS, Input, Question, QuestionKind


def test_each_kind_has_a_public_code_and_a_meaning() -> None:
    assert sorted(get_args(QuestionKind)) == list(KINDS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind) for kind in KINDS)
    assert all(meaning.endswith(".") for meaning in KINDS.values())


def test_the_same_question_is_one_question_wherever_it_is_asked() -> None:
    one, other = (Question("own-address", "x is", (Input("local-address", "x"),)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [(("mark", "mark"), "mark"), (("mark", "sender"), "several")],
)
def test_two_questions_as_one_keep_a_kind_that_they_share(
    kinds: tuple[QuestionKind, QuestionKind], kind: QuestionKind
) -> None:
    one, other = (undecided(each, name, Input("packet")) for each, name in zip(kinds, "ab", strict=True))
    joined = both(one, other.inverted())
    assert joined.question == Question(kind, "a and not: b", (Input("packet"),))
    assert joined.answer
