from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ('-m comment --comment "default/web:http -> 10.0.0.1:80"', packet(), True),
    ('-m comment --comment ""', packet(), True),
    ("-m nfacct --nfacct-name  ct_state_invalid_dropped_pkts", packet(), True),
]
REFUSED = [
    ("-m comment", "expected --comment or --nfacct-name", "-m"),
    ("-m comment --comment", "expected a value after --comment", "--comment"),
    ("-m nfacct --nfacct-name", "expected a value after --nfacct-name", "--nfacct-name"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
