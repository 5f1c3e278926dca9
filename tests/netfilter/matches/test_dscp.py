from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m dscp --dscp 0x2e", packet(tos=0xB8), True),
    ("-m dscp --dscp 0x2e", packet(tos=0xBB), True),  # the ECN bits are not of it
    ("-m dscp --dscp-class EF", packet(tos=0xB8), True),
    ("-m dscp --dscp-class AF31", packet(tos=26 << 2), True),
    ("-m dscp --dscp-class CS1", packet(tos=0xB8), False),
    ("-m dscp ! --dscp-class CS1", packet(tos=0xB8), True),
    ("-m dscp --dscp 8", packet(), "the packet's DSCP is 0x08"),
    ("-m dscp ! --dscp 8", packet(), "not the packet's DSCP is 0x08"),
]
REFUSED = [
    ("-m dscp", "expected --dscp or --dscp-class", "-m"),
    ("-m dscp --dscp", "expected a value after --dscp", "--dscp"),
    ("-m dscp --dscp 64", "expected a number up to 63 after --dscp", "64"),
    ("-m dscp --dscp-class XX", "expected a class of BE, EF, AFxx, CSx after --dscp-class", "XX"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
