from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6, refused

PING = packet(protocol=1, icmp_type=8, icmp_code=0)
SOLICITATION = packet6(protocol=58, icmp_type=135, icmp_code=0)

ANSWERS = [
    ("-p icmp -m icmp --icmp-type 8", PING, True),
    ("-p icmp -m icmp --icmp-type 0", PING, False),
    ("-p icmp -m icmp ! --icmp-type 0", PING, True),
    ("-p icmp -m icmp --icmp-type 8/0", PING, True),
    ("-p icmp -m icmp --icmp-type 8/1", PING, False),
    ("-p icmp -m icmp --icmp-type any", PING, True),
    ("-p icmp -m icmp --icmp-type 255", PING, True),
    ("-p icmp -m icmp --icmp-type echo-request", PING, True),
    ("-p icmp -m icmp --icmp-type fragmentation-needed", packet(protocol=1, icmp_type=3, icmp_code=4), True),
    ("-p icmp -m icmp --icmp-type host-unreachable", packet(protocol=1, icmp_type=3, icmp_code=4), False),
    ("-p icmp -m icmp --icmp-type 3/4", packet(protocol=1, icmp_type=3), "the ICMP type is 3/4"),
    ("-p icmp -m icmp ! --icmp-type 3", packet(protocol=1), "not the ICMP type is 3"),
    ("-p icmp -m icmp --icmp-type 8", packet(protocol=1, icmp_type=8, fragment=True), False),
    ("-p icmp -m icmp ! --icmp-type 8", packet(), False),  # of UDP nothing of it holds
    ("-p ipv6-icmp -m icmp6 --icmpv6-type 135", SOLICITATION, True),
    ("-p ipv6-icmp -m icmp6 --icmpv6-type neighbour-solicitation", SOLICITATION, True),
    ("-p ipv6-icmp -m icmp6 ! --icmpv6-type 136", SOLICITATION, True),
    ("-p ipv6-icmp -m icmp6 --icmpv6-type 255", SOLICITATION, False),
]
REFUSED = [
    ("-p icmp -m icmp", "expected --icmp-type", "-m"),
    ("-p icmp -m icmp --icmp-type", "expected a value after --icmp-type", "--icmp-type"),
    (
        "-p icmp -m icmp --icmp-type 300",
        "expected an ICMP type, as TYPE, TYPE/CODE or a name, after --icmp-type",
        "300",
    ),
    (
        "-p icmp -m icmp6 --icmpv6-type x",
        "expected an ICMP type, as TYPE, TYPE/CODE or a name, after --icmpv6-type",
        "x",
    ),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
