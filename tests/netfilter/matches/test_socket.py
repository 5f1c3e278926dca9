from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from kinspect.model.rules import Remembers
from tests.netfilter.tables import Answer, answer, packet, packet6, read

ANSWERS = [
    ("-m socket", packet(), "a socket, bound to that address, of this host takes udp to 10.2.0.2:53"),
    (
        "-m socket --nowildcard",
        packet(protocol=6, dport=80),
        "a socket of this host takes tcp to 10.2.0.2:80",
    ),
    (
        "-m socket --transparent --restore-skmark",
        packet6(),
        "a transparent socket, bound to that address, of this host takes udp to [fd02::2]:53",
    ),
    ("-m socket", packet(protocol=132), False),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


def test_a_socket_s_mark_is_not_known_behind_restore_skmark() -> None:
    match = read("-m socket --restore-skmark")
    assert isinstance(match, Remembers)
    assert match.asked(packet(), True).mark_unknown == 0xFFFFFFFF


def test_the_mark_stays_without_restore_skmark() -> None:
    match = read("-m socket --transparent")
    assert isinstance(match, Remembers)
    assert match.asked(packet(mark=5), True) == packet(mark=5)
