from __future__ import annotations

from fractions import Fraction

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m statistic --mode random --probability 0.50000000000", packet(), Fraction(1, 2)),
    ("-m statistic --mode random --probability 0.33333333349", packet(), Fraction(715827883, 2**31)),
    ("-m statistic --mode random ! --probability 0.25", packet(), Fraction(3, 4)),
    ("-m statistic --mode random --probability 0", packet(), False),
    ("-m statistic --mode random --probability 1.0", packet(), True),
    ("-m statistic --mode nth --every 3 --packet 0", packet(), Fraction(1, 3)),
    ("-m statistic --mode nth ! --every 3", packet(), Fraction(2, 3)),
]
REFUSED = [
    ("-m statistic", "expected --mode", "-m"),
    ("-m statistic --mode", "expected a value after --mode", "--mode"),
    ("-m statistic --mode odd", "expected random or nth after --mode", "odd"),
    ("-m statistic --mode random", "expected --probability", "-m"),
    (
        "-m statistic --mode random --probability 0,33",
        "expected a number between 0 and 1 after --probability",
        "0,33",
    ),
    (
        "-m statistic --mode random --probability 1.5",
        "expected a number between 0 and 1 after --probability",
        "1.5",
    ),
    (
        "-m statistic --mode random --probability 1e999999999",
        "expected a number between 0 and 1 after --probability",
        "1e999999999",
    ),
    (
        "-m statistic --mode random --probability 1/2",
        "expected a number between 0 and 1 after --probability",
        "1/2",
    ),
    ("-m statistic --mode nth --every 0", "expected a count of at least 1 after --every", "0"),
    ("-m statistic --mode nth --every 2 --packet 2", "expected a number below 2 after --packet", "2"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
