from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet6, refused

ANSWERS = [
    ("-m ipv6header --header prot", packet6(), True),
    ("-m ipv6header --header hop,prot", packet6(), False),
    ("-m ipv6header ! --header hop,prot", packet6(), True),
    ("-m ipv6header --header hop --soft", packet6(headers=frozenset({0, 60})), True),
    ("-m ipv6header --header hop,frag --soft", packet6(headers=frozenset({0})), False),
    ("-m ipv6header ! --header hop,frag --soft", packet6(headers=frozenset({0})), False),
    ("-m ipv6header ! --header hop,frag --soft", packet6(headers=frozenset({60})), True),
    ("-m ipv6header --header ipv6-frag,prot", packet6(fragment=True), True),
    ("-m ipv6header --header esp", packet6(protocol=50), True),
    ("-m ipv6header --header tcp", packet6(), True),  # any upper header is one: "prot"
]
REFUSED = [
    ("-m ipv6header", "expected --header", "-m"),
    ("-m ipv6header --header", "expected a value after --header", "--header"),
    ("-m ipv6header --header nose", "expected a list of headers after --header", "nose"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
