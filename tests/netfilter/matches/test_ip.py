from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6, refused

ANSWERS = [
    ("-s 10.1.0.0/16", packet(), True),
    ("-s 10.1.0.0/255.255.0.0", packet(), True),
    ("! -s 10.1.0.0/16", packet(), False),
    ("-s ! 10.1.0.0/16", packet(), False),  # as it was written before 1.4.3
    ("-d 10.2.0.2/32", packet(), True),
    ("-d 10.2.0.3", packet(), False),
    ("-d 0.0.0.2/0.0.0.255", packet(), True),  # a mask that is not a prefix
    ("-d fd02::/64", packet6(), True),
    ("! -d ::1/128", packet6(), True),
    ("--src 10.1.0.2 --dst 10.2.0.2", packet(), True),
    ("-p udp", packet(), True),
    ("-p 17", packet(), True),
    ("-p all", packet(), True),
    ("! -p tcp", packet(), True),
    ("-i eth0", packet(), True),
    ("-i eth+", packet(), True),
    ("-i eth", packet(), False),
    ("! -i eth0", packet(), False),
    ("-i +", packet(local=True, iif=None), True),
    ("-i eth0", packet(local=True, iif=None), False),
    ("! -i eth0", packet(local=True, iif=None), True),
    ("-i eth0", packet(iif=None), "the packet comes in by interface eth0"),
    ("! -i eth0", packet(iif=None), "not the packet comes in by interface eth0"),
    ("-o cali+", packet(oif="cali123"), True),
    ("-o eth1", packet(), "the packet leaves by interface eth1"),
    ("-o +", packet(), True),
    ("-f", packet(fragment=True), True),
    ("! -f", packet(), True),
]
REFUSED = [
    ("-s 10.0.0", "expected an address or network after -s", "10.0.0"),
    ("-d x.x.x.x", "expected an address or network after -d", "x.x.x.x"),
    ("-d 10.0.0.0/33", "expected an address or network after -d", "10.0.0.0/33"),
    ("-p ipfoo", "expected a protocol after -p", "ipfoo"),
    ("-s", "expected a value after -s", "-s"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
