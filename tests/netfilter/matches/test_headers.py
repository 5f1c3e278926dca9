from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6, refused

ANSWERS = [
    ("-m rt --rt-type 0 --rt-segsleft 0", packet6(), False),
    ("-m rt ! --rt-type 0", packet6(), False),
    ("-m rt", packet6(headers=frozenset({43})), True),
    (
        "-m rt --rt-type 0 ! --rt-segsleft 0:1",
        packet6(headers=frozenset({43})),
        "the packet's routing header matches --rt-type 0 ! --rt-segsleft 0:1",
    ),
    ("-m frag --fragfirst", packet6(), False),
    ("-m frag", packet6(fragment=True), True),
    ("-m frag --fragmore", packet6(fragment=True), "the packet's fragment header matches --fragmore"),
    ("-m hbh --hbh-len 8", packet6(), False),
    (
        "-m dst --dst-opts 1",
        packet6(headers=frozenset({60})),
        "the packet's destination options header matches --dst-opts 1",
    ),
    ("-p ah -m ah", packet(protocol=51), True),
    ("-p ah -m ah --ahspi 1:5", packet(protocol=51), "the packet's AH header matches --ahspi 1:5"),
    ("-p ah -m ah ! --ahspi 1:5", packet(), False),
    ("-p esp -m esp --espspi 5", packet(protocol=50), "the packet's ESP header matches --espspi 5"),
    ("-p mh -m mh --mh-type 1", packet6(protocol=135), "the packet's mobility header matches --mh-type 1"),
]
REFUSED = [
    ("-m rt --rt-type", "expected a value after --rt-type", "--rt-type"),
    ('-m esp --espspi ""', "expected a value after --espspi", '""'),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
