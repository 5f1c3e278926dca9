from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from kinspect.model.host import Host, Link, LinkAddress
from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6, refused

HOST = Host(
    addresses=frozenset({ip_address("10.1.0.1")}),
    links={"eth0": Link("eth0", (LinkAddress(ip_address("10.1.0.1"), ip_network("10.1.0.0/16")),))},
)

ANSWERS = [
    ("-m pkttype --pkt-type unicast", packet(), HOST, True),
    ("-m pkttype --pkt-type broadcast", packet(), HOST, False),
    ("-m pkttype ! --pkt-type broadcast", packet(), HOST, True),
    (
        "-m pkttype --pkt-type multicast",
        packet(dst="224.0.0.1"),
        HOST,
        "the packet comes in a multicast frame",
    ),
    (
        "-m pkttype ! --pkt-type unicast",
        packet(dst="10.1.255.255"),
        HOST,
        "not the packet comes in a unicast frame",
    ),
    (
        "-m pkttype --pkt-type unicast",
        packet(dst="10.2.0.9", original=packet(dst="10.1.255.255")),
        HOST,
        "the packet comes in a unicast frame",
    ),
    ("-m pkttype --pkt-type multicast", packet(dst="224.0.0.1", local=True, iif=None), HOST, False),
    ("-m pkttype --pkt-type unicast", packet6(), HOST, True),
    (
        "-m pkttype --pkt-type multicast",
        packet6(dst="ff02::1"),
        HOST,
        "the packet comes in a multicast frame",
    ),
]
REFUSED = [
    ("-m pkttype", "expected --pkt-type", "-m"),
    ("-m pkttype --pkt-type", "expected a value after --pkt-type", "--pkt-type"),
    ("-m pkttype --pkt-type some", "expected unicast, broadcast or multicast after --pkt-type", "some"),
]


@pytest.mark.parametrize(("words", "of", "host", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, host: Host, expected: Answer) -> None:
    assert answer(words, of, host) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
