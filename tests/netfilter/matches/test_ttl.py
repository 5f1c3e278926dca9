from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6, refused

ANSWERS = [
    ("-m ttl --ttl-eq 64", packet(ttl=64), True),
    ("-m ttl --ttl 64", packet(ttl=64), True),
    ("-m ttl --ttl-eq 64", packet(ttl=63), False),
    ("-m ttl ! --ttl-eq 64", packet(ttl=63), True),
    ("-m ttl --ttl-lt 64", packet(ttl=63), True),
    ("-m ttl --ttl-lt 63", packet(ttl=63), False),
    ("-m ttl --ttl-gt 62", packet(ttl=63), True),
    ("-m ttl --ttl-gt 63", packet(ttl=63), False),
    ("-m ttl --ttl-eq 64", packet(), "the packet's TTL is 64"),
    ("-m ttl ! --ttl-eq 64", packet(), "not the packet's TTL is 64"),
    ("-m ttl --ttl-lt 5", packet(), "the packet's TTL is below 5"),
    ("-m hl --hl-eq 255", packet6(ttl=255), True),
    ("-m hl --hl-eq 255", packet6(), "the packet's hop limit is 255"),
]
REFUSED = [
    ("-m ttl", "expected --ttl-eq or --ttl-lt or --ttl-gt", "-m"),
    ("-m ttl --ttl-eq", "expected a value after --ttl-eq", "--ttl-eq"),
    ("-m ttl --ttl-eq 256", "expected a number of hops up to 255 after --ttl-eq", "256"),
    ("-m hl --hl-gt x", "expected a number of hops up to 255 after --hl-gt", "x"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
