from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m length --length 40:60", packet(length=40), True),
    ("-m length --length 40:60", packet(length=60), True),
    ("-m length --length 40:60", packet(length=61), False),
    ("-m length ! --length 40:60", packet(length=61), True),
    ("-m length --length 40", packet(length=41), False),
    ("-m length --length 40:", packet(length=1500), True),
    ("-m length --length :40", packet(length=30), True),
    ("-m length --length 40:60", packet(), "the packet has 40 to 60 bytes"),
    ("-m length ! --length 40", packet(), "not the packet has 40 to 40 bytes"),
]
REFUSED = [
    ("-m length", "expected --length", "-m"),
    ("-m length --length", "expected a value after --length", "--length"),
    ("-m length --length 60:40", "expected a length or a range of lengths after --length", "60:40"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
