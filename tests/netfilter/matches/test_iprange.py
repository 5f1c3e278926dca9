from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6, refused

ANSWERS = [
    ("-m iprange --src-range 10.0.0.0-10.1.0.2", packet(), True),
    ("-m iprange --src-range 10.0.0.0-10.1.0.1", packet(), False),
    ("-m iprange ! --src-range 10.0.0.0-10.1.0.1", packet(), True),
    ("-m iprange --dst-range 10.2.0.2", packet(), True),
    ("-m iprange --src-range 10.1.0.0-10.1.0.9 ! --dst-range 10.2.0.0-10.2.0.9", packet(), False),
    ("-m iprange --src-range fd01::1-fd01::9", packet6(), True),
    ("-m iprange --src-range fd01::3-fd01::9", packet6(), False),
]
REFUSED = [
    ("-m iprange", "expected --src-range or --dst-range", "-m"),
    ("-m iprange --src-range", "expected a value after --src-range", "--src-range"),
    (
        "-m iprange --src-range 10.0.0.9-10.0.0.1",
        "expected a range of addresses, as ADDR-ADDR, after --src-range",
        "10.0.0.9-10.0.0.1",
    ),
    (
        "-m iprange --src-range 10.0.0.1-::1",
        "expected a range of addresses, as ADDR-ADDR, after --src-range",
        "10.0.0.1-::1",
    ),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
