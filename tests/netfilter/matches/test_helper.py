from __future__ import annotations

import pytest

from kinspect.model.packet import CtState, Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m helper --helper ftp", packet(), False),
    ("-m helper ! --helper ftp", packet(), True),
    ("-m helper ! --helper ftp", packet(tracked=False), True),
    (
        "-m helper --helper ftp",
        packet(state=CtState.RELATED),
        "conntrack's helper ftp expected the connection",
    ),
    (
        "-m helper ! --helper ftp-2121",
        packet(state=CtState.ESTABLISHED),
        "not conntrack's helper ftp-2121 expected the connection",
    ),
]
REFUSED = [
    ("-m helper", "expected --helper", "-m"),
    ("-m helper --helper", "expected a value after --helper", "--helper"),
    ('-m helper --helper ""', "expected the name of a helper after --helper", '""'),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
