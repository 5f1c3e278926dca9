"""What becomes of a packet that came in, by routes, switches and its own source."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from kinspect.model.host import Host, Link, LinkAddress, NextHop, PolicyRule, Route
from kinspect.model.packet import Packet
from kinspect.netfilter.arrival import Refused, arrival, unfit
from kinspect.netfilter.routing import Hop
from kinspect.netfilter.unknowns import Fork
from tests.netfilter.tables import packet, packet6


def link(name: str, address: str, network: str) -> Link:
    return Link(name, (LinkAddress(ip_address(address), ip_network(network)),))


def switches(**changes: str) -> dict[str, str]:
    """All that source validation asks for, of eth0 and eth1; a name means that of all interfaces."""
    found = {"net.ipv4.ip_forward": "1"}
    for dev in ("all", "eth0", "eth1"):
        for name in ("rp_filter", "accept_local", "src_valid_mark", "send_redirects", "route_localnet"):
            found[f"net.ipv4.conf.{dev}.{name}"] = "0"
        found[f"net.ipv4.conf.{dev}.forwarding"] = "1"
    found.update({f"net.ipv4.conf.all.{name}": value for name, value in changes.items()})
    return found


OWN = Route(ip_network("10.1.0.1/32"), "local", "local", "eth0")
HOST = Host(
    addresses=frozenset(map(ip_address, ["10.1.0.1", "10.2.0.1", "127.0.0.1"])),
    links={"eth0": link("eth0", "10.1.0.1", "10.1.0.0/16"), "eth1": link("eth1", "10.2.0.1", "10.2.0.0/16")},
    routes=[
        OWN,
        Route(ip_network("10.2.0.1/32"), "local", "local", "eth1"),
        Route(ip_network("127.0.0.0/8"), "local", "local", "lo"),
        Route(ip_network("10.1.255.255/32"), "broadcast", "local", "eth0"),
        Route(ip_network("10.1.0.0/16"), dev="eth0"),
        Route(ip_network("10.2.0.0/16"), dev="eth1"),
        Route(ip_network("10.66.0.0/16"), "blackhole"),
        Route(ip_network("0.0.0.0/0"), dev="eth0", gateway=ip_address("10.1.0.254")),
        Route(ip_network("fd02::/64"), dev="eth1"),
        Route(ip_network("fe80::/64"), dev="eth0"),
    ],
    sysctls=switches(),
)
STRICT = replace(HOST, sysctls=switches(rp_filter="1"))
LOOSE = replace(HOST, sysctls=switches(rp_filter="2"))
ACCEPTING = replace(HOST, sysctls=switches(accept_local="1"))
UNREAD = replace(HOST, sysctls={"net.ipv4.ip_forward": "1"})
NO_DEFAULT = replace(LOOSE, routes=[route for route in HOST.routes or () if route.destination.prefixlen])

CASES: list[tuple[Packet, Host, str]] = [
    (packet(), HOST, "eth1"),
    (packet(src="203.0.113.1", iif="eth1", dst="10.1.0.9"), HOST, "eth0"),
    (packet(src="203.0.113.1", iif="eth1", dst="10.1.0.9"), STRICT, "rp_filter is 1"),
    (packet(src="203.0.113.1", iif="eth1", dst="10.1.0.1"), STRICT, "rp_filter is 1"),
    (packet(src="203.0.113.1", iif="eth1", dst="10.1.0.9"), LOOSE, "eth0"),
    (packet(src="203.0.113.1", iif="eth1", dst="10.1.0.9"), NO_DEFAULT, "no route back"),
    (packet(src="203.0.113.1", iif="eth1", dst="10.1.0.9"), UNREAD, "? net.ipv4.conf.all.rp_filter is 1"),
    (packet(), UNREAD, "eth1"),  # by the interface that leads back: no switch of these matters
    (packet(src="10.1.0.1"), HOST, "is this host's own"),
    (packet(src="10.1.0.1"), ACCEPTING, "eth1"),
    (packet(src="10.1.0.1"), UNREAD, "? net.ipv4.conf.eth0.accept_local is 1"),
    (packet(src="224.0.0.9"), HOST, "nobody sends from it"),
    (packet(src="255.255.255.255"), HOST, "nobody sends from it"),
    (packet(src="0.0.0.0"), HOST, "martian"),
    (packet(dst="0.0.0.0"), HOST, "martian"),
    (packet(src="0.0.0.0", dst="255.255.255.255"), HOST, "broadcast"),
    (packet(dst="10.1.255.255"), HOST, "broadcast"),
    (packet(src="127.0.0.5"), HOST, "route_localnet is 0"),
    (packet(dst="224.0.0.1"), HOST, "multicast"),
    (packet(dst="239.1.1.1"), HOST, "? this host is a member of 239.1.1.1 on eth0"),
    (packet(dst="10.66.0.1"), HOST, "blackhole"),
    (packet(ttl=1), HOST, "TTL is 1"),
    (packet(ttl=1, dst="10.1.0.1"), HOST, "local"),
    (packet(ttl=2), HOST, "eth1"),
    (packet6(src="fe80::9"), HOST, "belongs to the link"),
    (packet6(src="fe80::9", iif="eth1"), HOST, "eth1"),  # back to where it came from
    (packet6(dst="ff02::1"), HOST, "multicast"),
    (packet6(dst="ff05::2"), HOST, "? this host is a member of ff05::2 on eth0"),
    (packet6(ttl=1), HOST, "hop limit is 1"),
]  # fmt: skip


def told(found: Any) -> str:
    match found:
        case Fork(question=question):
            return f"? {question}"
        case Refused(why):
            return why
        case Hop(kind, dev):
            return str(dev) if kind == "unicast" else str(kind)
        case _:
            raise AssertionError(found)


@pytest.mark.parametrize(("came", "host", "expected"), CASES)
def test_what_becomes_of_it(came: Packet, host: Host, expected: str) -> None:
    assert expected in told(arrival(came, host))


def test_an_interface_that_does_not_forward_counts_not_the_whole() -> None:
    closed = {**switches(), "net.ipv4.conf.eth0.forwarding": "0"}
    assert "conf.eth0.forwarding is 0" in told(arrival(packet(), replace(HOST, sysctls=closed)))
    assert told(arrival(packet(dst="10.1.0.1"), replace(HOST, sysctls=closed))) == "local"


def test_a_policy_rule_makes_the_kernel_look_up_the_way_back() -> None:
    anything = Route(ip_network("0.0.0.0/0"), "local", "7", "lo", by_kernel=False)
    rules = [PolicyRule(0, "local"), PolicyRule(5, "7", iif="eth1"), PolicyRule(9, "main")]
    host = replace(HOST, routes=[*(HOST.routes or ()), anything], rules={4: rules})
    assert "is this host's own" in told(arrival(packet(src="203.0.113.1"), host))  # it leaves by eth1
    assert told(arrival(packet(src="203.0.113.1", dst="10.1.0.9", iif="eth0"), host)) == "eth0"


def test_of_several_next_hops_a_question_decides() -> None:
    ways = (NextHop("eth0", ip_address("10.1.0.8")), NextHop("eth1", ip_address("10.2.0.8"), weight=2))
    host = replace(HOST, routes=[*(HOST.routes or ()), Route(ip_network("10.99.0.0/16"), several=ways)])
    found = arrival(packet(dst="10.99.0.1"), host)
    assert isinstance(found, Fork)
    assert "10.1.0.8 (its weight is 1 of 3)" in found.question.text
    assert (told(found.applies), told(found.usual)) == ("eth0", "eth1")


def test_while_nobody_adds_a_policy_rule_main_may_hide_local() -> None:
    routes = [*(HOST.routes or ()), Route(ip_network("10.50.0.0/16"), "local", "local", "lo"),
              Route(ip_network("10.50.1.0/24"), dev="eth1")]  # fmt: skip
    found = arrival(packet(dst="10.50.1.1"), replace(HOST, routes=routes))
    assert isinstance(found, Fork)
    assert (told(found.applies), told(found.usual)) == ("local", "eth1")
    ruled = [PolicyRule(0, "local"), PolicyRule(5, "9", iif="eth7"), PolicyRule(9, "main")]
    assert told(arrival(packet(dst="10.50.1.1"), replace(HOST, routes=routes, rules={4: ruled}))) == "local"


@pytest.mark.parametrize(
    ("src", "dst"), [("::1", "fd02::2"), ("fd01::2", "::1"), ("ff02::9", "fd02::2"), ("fd01::2", "ff01::1")]
)
def test_what_no_hook_sees(src: str, dst: str) -> None:
    assert unfit(packet6(src=src, dst=dst)) is not None
    assert unfit(packet6(src=src, dst=dst, iif="lo")) is None
