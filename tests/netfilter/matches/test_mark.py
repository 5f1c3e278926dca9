from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m mark --mark 0x4000/0x4000", packet(mark=0x4000), True),
    ("-m mark --mark 0x4000/0x4000", packet(mark=0x10001), False),
    ("-m mark --mark 0x4000/0x4000", packet(mark=0x1C001), True),
    ("-m mark ! --mark 0x4000/0x4000", packet(), True),
    ("-m mark --mark 1337", packet(mark=0x539), True),
    ("-m mark --mark 0x0/0x80000", packet(mark=1), True),
    ("-m mark --mark 0x2/0x1", packet(mark=2), False),  # a bit outside of the mask: never
    ("-m mark --mark 0x1/0x3", packet(mark_unknown=1), "the packet's mark is 0x1/0x3"),
    ("-m mark ! --mark 0x1/0x3", packet(mark_unknown=1), "not the packet's mark is 0x1/0x3"),
    ("-m mark --mark 0x1/0x3", packet(mark=2, mark_unknown=1), False),
    ("-m mark --mark 0x1/0x3", packet(mark=1, mark_unknown=4), True),
]
REFUSED = [
    ("-m mark", "expected --mark", "-m"),
    ("-m mark --mark", "expected a value after --mark", "--mark"),
    ("-m mark --mark blue", "expected a mark, as value or value/mask, after --mark", "blue"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
