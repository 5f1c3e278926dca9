from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from kinspect.model.host import Host, Link, LinkAddress
from kinspect.model.packet import Packet
from tests.netfilter.tables import act, bound, ends, packet, packet6, refused


def own(text: str, network: str) -> LinkAddress:
    return LinkAddress(ip_address(text), ip_network(network))


HOST = Host(
    addresses=frozenset({ip_address("10.1.0.1"), ip_address("10.1.0.9"), ip_address("fd01::1")}),
    links={
        "eth0": Link(
            "eth0",
            (
                own("10.1.0.1", "10.1.0.0/24"),
                own("10.1.0.9", "10.1.0.0/24"),
                own("fd01::1", "fd01::/64"),
                own("fe80::1", "fe80::/64"),
            ),
        ),
        "tun0": Link("tun0"),
    },
)
BINDINGS = [
    ("-p udp -j REDIRECT", packet(), "10.1.0.2:40000 > 10.1.0.1:53"),
    ("-p udp -j REDIRECT --to-ports 5353", packet(), "10.1.0.2:40000 > 10.1.0.1:5353"),
    ("-p udp -j REDIRECT --to-port 5353", packet(), "10.1.0.2:40000 > 10.1.0.1:5353"),
    ("-p udp -j REDIRECT --to-ports 2000-2009", packet(), "10.1.0.2:40000 > 10.1.0.1:2000"),
    ("-p udp -j REDIRECT --to-ports 50-59", packet(), "10.1.0.2:40000 > 10.1.0.1:53"),
    ("-p udp -j REDIRECT --to-ports 2000-2009 --random", packet(), "10.1.0.2:40000 > 10.1.0.1:?"),
    ("-p udp -j REDIRECT", packet(local=True, iif=None), "10.1.0.2:40000 > 127.0.0.1:53"),
    ("-p udp -j REDIRECT", packet6(), "[fd01::2]:40000 > [fd01::1]:53"),
    ("-p udp -j REDIRECT", packet6(dst="fe80::9"), "[fd01::2]:40000 > [fe80::1]:53"),
    ("-p udp -j REDIRECT", packet6(local=True, iif=None), "[fd01::2]:40000 > [::1]:53"),
]
REFUSED = [
    ("-j REDIRECT --to-ports", "expected a value after --to-ports", "--to-ports"),
    ("-j REDIRECT --to-ports 0", "expected a port or range after --to-ports", "0"),
]


@pytest.mark.parametrize(("words", "of", "ends"), BINDINGS)
def test_where_it_goes(words: str, of: Packet, ends: str) -> None:
    assert bound(words, of, HOST) == ends


def test_an_interface_without_an_address_loses_the_packet() -> None:
    assert ends(act("-j REDIRECT", packet(iif="tun0"), HOST)) == [(True, "DROP")]


def test_an_unknown_interface_leaves_the_host_s_addresses_to_choose_from() -> None:
    assert ends(act("-j REDIRECT", packet(iif=None), HOST)) == [
        ("the first address of the incoming interface is 10.1.0.1", "Bind"),
        ("the first address of the incoming interface is 10.1.0.9", "Bind"),
        (True, "DROP"),
    ]


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
