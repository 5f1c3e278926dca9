from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet

ANSWERS = [
    ("-m geoip --source-country CN", packet(), "the packet matches -m geoip --source-country CN"),
    ("-m mark --mark 1 --stripes", packet(mark=1), "the packet matches -m mark --mark 1 --stripes"),
    ("-m geoip ! --source-country CN", packet(), "the packet matches -m geoip ! --source-country CN"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected
