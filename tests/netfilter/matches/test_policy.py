from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m policy --dir out --pol none", packet(), True),
    ("-m policy --dir in --pol ipsec", packet(), False),
    (
        "-m policy --dir in --pol ipsec --strict --reqid 1 --proto esp --mode tunnel --next --spi 5",
        packet(),
        False,
    ),
]
REFUSED = [
    ("-m policy --pol none", "expected --dir", "-m"),
    ("-m policy --dir in", "expected --pol", "-m"),
    ("-m policy --dir in --pol", "expected a value after --pol", "--pol"),
    ("-m policy --dir up --pol none", "expected in or out after --dir", "up"),
    ("-m policy --dir in --pol some", "expected none or ipsec after --pol", "some"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
