from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m tos --tos 0x10/0x3f", packet(tos=0x50), True),
    ("-m tos --tos 0x10", packet(tos=0x50), False),
    ("-m tos ! --tos 0x10", packet(tos=0x50), True),
    ("-m tos --tos Minimize-Delay", packet(tos=0x50), True),
    ("-m tos --tos 0x10/0x3f", packet(), "the packet's TOS is 0x10/0x3f"),
    ("-m tos ! --tos 0x10", packet(), "not the packet's TOS is 0x10/0xff"),
]
REFUSED = [
    ("-m tos", "expected --tos", "-m"),
    ("-m tos --tos", "expected a value after --tos", "--tos"),
    ("-m tos --tos fast", "expected a TOS, as value, value/mask or a name, after --tos", "fast"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
