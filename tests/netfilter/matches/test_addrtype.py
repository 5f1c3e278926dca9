from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from kinspect.model.host import Host, Link, LinkAddress, Route, RouteType
from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, packet6, refused


def route(to: str, kind: RouteType, dev: str, table: str = "local") -> Route:
    return Route(destination=ip_network(to), type=kind, dev=dev, table=table)


OWN = frozenset({ip_address("10.1.0.1"), ip_address("fd01::1")})
LINKS = {
    "eth0": Link(
        "eth0",
        (
            LinkAddress(ip_address("10.1.0.1"), ip_network("10.1.0.0/16")),
            LinkAddress(ip_address("fd01::1"), ip_network("fd01::/64")),
        ),
    ),
    "eth1": Link("eth1"),
}
KNOWN_HOST = Host(
    addresses=OWN,
    links=LINKS,
    routes=[
        route("127.0.0.0/8", "local", "lo"),
        route("10.1.0.1/32", "local", "eth0"),
        route("10.1.255.255/32", "broadcast", "eth0"),
        route("10.1.0.0/16", "unicast", "eth0", "main"),
        route("fd01::1/128", "local", "eth0"),
        route("fd01::/128", "anycast", "eth0"),
        route("fd01::/64", "unicast", "eth0", "main"),
        route("fd02::/64", "unicast", "eth1", "main"),
        route("fd78::/64", "unreachable", "lo", "main"),
    ],
)
BARE_HOST = Host(addresses=OWN, links=LINKS)  # no routes were read
NO_HOST = Host()

ANSWERS = [
    ("-m addrtype --dst-type LOCAL", packet(dst="10.1.0.1"), KNOWN_HOST, True),
    ("-m addrtype --dst-type LOCAL", packet(dst="127.9.9.9"), KNOWN_HOST, True),
    ("-m addrtype --dst-type LOCAL", packet(), KNOWN_HOST, False),
    ("-m addrtype ! --dst-type LOCAL", packet(), KNOWN_HOST, True),
    ("-m addrtype --dst-type UNICAST", packet(), KNOWN_HOST, True),
    ("-m addrtype --dst-type UNICAST", packet(dst="10.1.0.1"), KNOWN_HOST, False),
    ("-m addrtype --src-type LOCAL --dst-type LOCAL", packet(src="10.1.0.1"), KNOWN_HOST, False),
    ("-m addrtype --dst-type BROADCAST", packet(dst="255.255.255.255"), KNOWN_HOST, True),
    ("-m addrtype --dst-type BROADCAST", packet(dst="0.0.0.0"), KNOWN_HOST, True),
    ("-m addrtype --dst-type UNICAST", packet(dst="0.1.2.3"), KNOWN_HOST, True),
    ("-m addrtype --dst-type BROADCAST", packet(dst="10.1.255.255"), KNOWN_HOST, True),
    ("-m addrtype --dst-type LOCAL,BROADCAST", packet(dst="10.1.255.255"), KNOWN_HOST, True),
    ("-m addrtype --dst-type UNICAST", packet(dst="10.1.0.0"), KNOWN_HOST, True),
    ("-m addrtype --dst-type MULTICAST", packet(dst="224.0.0.1"), KNOWN_HOST, True),
    ("-m addrtype --dst-type LOCAL", packet(dst="10.1.0.1"), BARE_HOST, True),
    ("-m addrtype --dst-type BROADCAST", packet(dst="10.1.255.255"), BARE_HOST, True),
    ("-m addrtype --dst-type LOCAL", packet(), NO_HOST, "10.2.0.2 is an address of this host"),
    ("-m addrtype ! --dst-type LOCAL", packet(), NO_HOST, "not 10.2.0.2 is an address of this host"),
    ("-m addrtype --dst-type UNICAST", packet(), NO_HOST, "not 10.2.0.2 is an address of this host"),
    ("-m addrtype --dst-type ANYCAST", packet(), NO_HOST, "10.2.0.2 is of type ANYCAST to this host"),
    ("-m addrtype --dst-type LOCAL --limit-iface-in", packet(dst="10.1.0.1"), KNOWN_HOST, True),
    ("-m addrtype --dst-type LOCAL --limit-iface-in", packet(dst="10.1.0.1", iif="eth1"), KNOWN_HOST, False),
    (
        "-m addrtype ! --src-type LOCAL --limit-iface-out",
        packet(src="10.1.0.1", oif="eth1"),
        KNOWN_HOST,
        True,
    ),
    (
        "-m addrtype --src-type LOCAL --limit-iface-out",
        packet(),
        KNOWN_HOST,
        "10.1.0.2 is of type LOCAL on the interface",
    ),
    # IPv6: a class of addresses, then the route's type.
    ("-m addrtype --dst-type LOCAL", packet6(dst="fd01::1"), KNOWN_HOST, True),
    ("-m addrtype --dst-type UNICAST", packet6(dst="fd01::1"), KNOWN_HOST, True),
    ("-m addrtype --dst-type LOCAL", packet6(), KNOWN_HOST, False),
    ("-m addrtype --dst-type LOCAL,UNICAST", packet6(), KNOWN_HOST, False),
    ("-m addrtype --dst-type MULTICAST,UNICAST", packet6(dst="ff02::1"), KNOWN_HOST, False),
    ("-m addrtype --dst-type MULTICAST", packet6(dst="ff02::1"), KNOWN_HOST, True),
    ("-m addrtype --dst-type ANYCAST", packet6(dst="fd01::"), KNOWN_HOST, True),
    ("-m addrtype --dst-type UNREACHABLE", packet6(dst="fd78::1"), KNOWN_HOST, True),
    ("-m addrtype --dst-type UNREACHABLE", packet6(dst="2001:db8::1"), KNOWN_HOST, True),  # no route
    ("-m addrtype --dst-type LOCAL --limit-iface-in", packet6(dst="fd01::1", iif="eth1"), KNOWN_HOST, False),
    ("-m addrtype --dst-type LOCAL", packet6(), NO_HOST, "fd02::2 is an address of this host"),
]
REFUSED = [
    ("-m addrtype", "expected --src-type or --dst-type", "-m"),
    ("-m addrtype --dst-type", "expected a value after --dst-type", "--dst-type"),
    (
        "-m addrtype --dst-type HERE",
        "expected a list of address types, such as LOCAL or BROADCAST, after --dst-type",
        "HERE",
    ),
]


@pytest.mark.parametrize(("words", "of", "host", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, host: Host, expected: Answer) -> None:
    assert answer(words, of, host) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
