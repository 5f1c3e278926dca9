from __future__ import annotations

import pytest

from kinspect.model.packet import CtState, Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m connmark --mark 0x20/0x20", packet(ct_mark=0x30), True),
    ("-m connmark --mark 0x20/0x20", packet(ct_mark=0x10), False),
    ("-m connmark ! --mark 0x20/0x20", packet(ct_mark=0x10), True),
    ("-m connmark --mark 0x0/0x20", packet(), True),
    # Without a connection it never holds, inverted or not.
    ("-m connmark --mark 0x0", packet(tracked=False), False),
    ("-m connmark ! --mark 0x1", packet(tracked=False), False),
    ("-m connmark ! --mark 0x1", packet(state=CtState.UNTRACKED), False),
    ("-m connmark --mark 0x1", packet(state=CtState.ESTABLISHED), "the connection's mark is 0x1/0xffffffff"),
    (
        "-m connmark ! --mark 0x1/0x1",
        packet(state=CtState.ESTABLISHED),
        "not the connection's mark is 0x1/0x1",
    ),
    ("-m connmark --mark 0x1/0x1", packet(state=CtState.ESTABLISHED, ct_mark=1, ct_mark_unknown=2), True),
]
REFUSED = [
    ("-m connmark", "expected --mark", "-m"),
    ("-m connmark --mark", "expected a value after --mark", "--mark"),
    ("-m connmark --mark 1/x", "expected a mark, as value or value/mask, after --mark", "1/x"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
