from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from kinspect.model.host import Host, NextHop, PolicyRule, Route
from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6

ROUTED_HOST = Host(
    routes=[
        Route(destination=ip_network("10.1.0.1/32"), type="local", table="local", dev="eth0"),
        Route(destination=ip_network("10.1.0.0/16"), dev="eth0"),
        Route(destination=ip_network("10.9.0.0/16"), several=(NextHop("eth0"), NextHop("eth1"))),
        Route(destination=ip_network("10.66.0.0/16"), type="blackhole"),
        Route(destination=ip_network("0.0.0.0/0"), dev="eth2"),
        Route(destination=ip_network("0.0.0.0/0"), dev="eth1", table="100"),
    ]
)
MARKED_HOST = replace(
    ROUTED_HOST,
    rules={4: [PolicyRule(priority=9, table="100", mark=(1, 1)), PolicyRule(priority=10, table="main")]},
)

ANSWERS = [
    ("-m rpfilter", packet(), ROUTED_HOST, True),
    ("-m rpfilter --invert", packet(), ROUTED_HOST, False),
    ("-m rpfilter", packet(iif="eth1"), ROUTED_HOST, False),
    ("-m rpfilter --invert", packet(iif="eth1"), ROUTED_HOST, True),
    ("-m rpfilter --loose", packet(iif="eth1"), ROUTED_HOST, True),
    ("-m rpfilter --loose", packet(src="10.66.0.1"), ROUTED_HOST, False),  # blackhole
    ("-m rpfilter", packet(src="10.9.0.1"), ROUTED_HOST, True),  # one of two next hops
    ("-m rpfilter", packet(src="10.9.0.1", iif="eth1"), ROUTED_HOST, True),
    ("-m rpfilter", packet(src="10.9.0.1", iif="eth2"), ROUTED_HOST, False),
    ("-m rpfilter", packet(iif="lo", src="127.0.0.1"), ROUTED_HOST, True),
    ("-m rpfilter", packet(src="10.1.0.1"), ROUTED_HOST, False),  # the host's own, from the wire
    ("-m rpfilter --accept-local", packet(src="10.1.0.1"), ROUTED_HOST, True),
    ("-m rpfilter --accept-local", packet(src="10.1.0.1", iif="eth1"), ROUTED_HOST, False),
    ("-m rpfilter --accept-local --loose", packet(src="10.1.0.1", iif="eth1"), ROUTED_HOST, True),
    ("-m rpfilter", packet(src="0.0.0.0", dst="255.255.255.255"), ROUTED_HOST, True),
    ("-m rpfilter --validmark", packet(iif="eth1", mark=1), MARKED_HOST, True),
    ("-m rpfilter", packet(iif="eth1", mark=1), MARKED_HOST, False),
    ("-m rpfilter", packet6(src="::"), ROUTED_HOST, True),
    ("-m rpfilter", packet(), Host(), "a reply to 10.1.0.2 would leave by the interface that it came in by"),
    (
        "-m rpfilter --loose --invert",
        packet(),
        Host(),
        "not a reply to 10.1.0.2 would leave by some interface",
    ),
    (
        "-m rpfilter",
        packet(iif=None),
        ROUTED_HOST,
        "a reply to 10.1.0.2 would leave by the interface that it came in by",
    ),
]


@pytest.mark.parametrize(("words", "of", "host", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, host: Host, expected: Answer) -> None:
    assert answer(words, of, host) == expected
