from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m ecn --ecn-ip-ect 2", packet(tos=0xBA), True),
    ("-m ecn --ecn-ip-ect 2", packet(tos=0xB9), False),
    ("-m ecn ! --ecn-ip-ect 2", packet(tos=0xB9), True),
    ("-m ecn --ecn-ip-ect 0", packet(), "the packet's ECN bits are 0"),
    ("-m ecn --ecn-tcp-cwr", packet(), False),
    (
        "-p tcp -m ecn --ecn-tcp-cwr ! --ecn-tcp-ece",
        packet(protocol=6),
        "TCP's flag CWR is set and TCP's flag ECE is not set",
    ),
    ("-p tcp -m ecn --ecn-tcp-cwr --ecn-ip-ect 1", packet(protocol=6, tos=0), False),
]
REFUSED = [
    ("-m ecn", "expected --ecn-ip-ect, --ecn-tcp-cwr or --ecn-tcp-ece", "-m"),
    ("-m ecn --ecn-ip-ect", "expected a value after --ecn-ip-ect", "--ecn-ip-ect"),
    ("-m ecn --ecn-ip-ect 4", "expected a number from 0 to 3 after --ecn-ip-ect", "4"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
