from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-p udp -m multiport --dports 53,1000:2000", packet(), True),
    ("-p udp -m multiport --dports 53,1000:2000", packet(dport=1500), True),
    ("-p udp -m multiport --dports 53,1000:2000", packet(dport=999), False),
    ("-p udp -m multiport ! --dports 53", packet(), False),
    ("-p udp -m multiport --destination-ports 53", packet(), True),
    ("-p udp -m multiport --sports 53", packet(), False),
    ("-p udp -m multiport --ports 53", packet(), True),
    ("-p udp -m multiport --ports 40000", packet(), True),
    ("-p udp -m multiport ! --ports 40000", packet(), False),
    ("-p udp -m multiport ! --ports 1,2", packet(), True),
    ("-p udp -m multiport --ports 53", packet(sport=None), True),
    (
        "-p udp -m multiport --ports 54,60:70",
        packet(sport=None),
        "the source or destination port is one of 54,60:70",
    ),
    ("-p udp -m multiport ! --sports 53", packet(sport=None), "not the source port is one of 53"),
    ("-p udp -m multiport --dports 53", packet(fragment=True), False),
    ("-p udp -m multiport ! --dports 53", packet(protocol=1), False),
]
REFUSED = [
    ("-p udp -m multiport", "expected --sports or --dports or --ports", "-m"),
    ("-p udp -m multiport --dports", "expected a value after --dports", "--dports"),
    ("-p udp -m multiport --dports 1,x", "expected a list of ports and ranges after --dports", "1,x"),
    ("-p udp -m multiport --dports 1,,2", "expected a list of ports and ranges after --dports", "1,,2"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
