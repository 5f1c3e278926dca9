from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m realm --realm 1/3", packet(), "the route to 10.2.0.2 has realm 1/3"),
    ("-m realm ! --realm cosmos", packet(), "not the route to 10.2.0.2 has realm cosmos"),
]
REFUSED = [
    ("-m realm", "expected --realm", "-m"),
    ("-m realm --realm", "expected a value after --realm", "--realm"),
    ('-m realm --realm ""', "expected a realm after --realm", '""'),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
