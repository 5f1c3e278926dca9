from __future__ import annotations

import pytest

from kinspect.model.packet import Packet, TcpFlag
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-p tcp -m tcpmss --mss 1400:1500", packet(protocol=6, tcp_flags=TcpFlag.ACK), False),
    ("-p tcp -m tcpmss ! --mss 1400:1500", packet(protocol=6, tcp_flags=TcpFlag.ACK), True),
    (
        "-p tcp -m tcpmss --mss 1400:1500",
        packet(protocol=6, tcp_flags=TcpFlag.SYN),
        "the packet announces an MSS of 1400 to 1500",
    ),
    ("-p tcp -m tcpmss ! --mss 536", packet(protocol=6), "not the packet announces an MSS of 536 to 536"),
    ("-p tcp -m tcpmss ! --mss 536", packet(), False),
]
REFUSED = [
    ("-p tcp -m tcpmss", "expected --mss", "-m"),
    ("-p tcp -m tcpmss --mss", "expected a value after --mss", "--mss"),
    ("-p tcp -m tcpmss --mss 9:1", "expected a size or a range of sizes after --mss", "9:1"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
