from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

import pytest

from kinspect.model.host import Host
from kinspect.netfilter.sets import IpSet
from kinspect.parse.node.ipset import read_ipset
from tests.netfilter.tables import packet, packet6

DUMP = """\
create n hash:net family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xa326257e
add n 10.2.1.0/24 nomatch
add n 10.2.0.0/16
add n 10.2.1.128/25
create n0 hash:net
add n0 0.0.0.0/0
create i hash:ip family inet
add i 10.2.0.2
create mask hash:ip family inet netmask 24
add mask 10.2.0.0
create six hash:ip family inet6
add six fd02::2
create ip hash:ip,port family inet
add ip 10.2.0.2,udp:53
add ip 10.2.0.2,icmp:echo-request
add ip 10.2.0.2,icmp:host-unreachable
add ip 10.2.0.2,esp:0
create ipi hash:ip,port,ip
add ipi 10.2.0.2,udp:53,10.1.0.2
create ipn hash:ip,port,net
add ipn 10.2.0.2,udp:53,10.1.0.0/16
add ipn 10.2.0.2,udp:53,10.1.5.0/24 nomatch
create np hash:net,port
add np 10.2.0.0/16,udp:53
create nn hash:net,net
add nn 10.1.0.0/16,10.2.0.0/16
add nn 10.1.0.0/16,10.2.1.0/24 nomatch
create npn hash:net,port,net
add npn 10.1.0.0/16,udp:53,10.2.0.0/16
create ni hash:net,iface
add ni 10.1.0.0/16,eth0
add ni 10.1.2.0/24,eth9
add ni 10.1.3.0/24,eth wildcard
add ni 10.1.4.0/24,eth0 nomatch
add ni 10.1.5.0/24,physdev:eth0
create m hash:mac
add m 00:11:22:33:44:55
create im hash:ip,mac
add im 10.1.0.2,00:11:22:33:44:55
create ik hash:ip,mark markmask 0xff
add ik 10.1.0.2,0x00000010
create bp bitmap:port range 0-1000
add bp 50-55
create bi bitmap:ip range 10.2.0.0-10.2.255.255
add bi 10.2.0.2
create bim bitmap:ip,mac range 10.1.0.0/16
add bim 10.1.0.2
add bim 10.1.0.3,00:11:22:33:44:55
create none hash:ip
create odd hash:shape
add odd 1
create l list:set size 8
add l six
add l n
add l i
create lm list:set size 8
add lm gone
add lm i
"""
SETS = read_ipset(DUMP, source="ipset-save.txt")
HOST = Host(sets=SETS)

# Directions, what of the packet differs, and whether it is in the set; n, i, ip, ipi, bp, ni, mask, bim
# and the lists as a real kernel (6.18) counted.
HELD: list[tuple[str, str, dict[str, Any], bool | None]] = [
    ("i", "dst", {}, True),
    ("i", "src", {}, False),
    ("i", "dst,dst,dst", {}, True),
    ("mask", "dst", {"dst": "10.2.0.77"}, True),
    ("mask", "dst", {"dst": "10.2.1.77"}, False),
    ("none", "dst", {}, False),
    ("odd", "dst", {}, None),
    ("n", "dst", {}, True),
    ("n", "dst", {"dst": "10.2.1.1"}, False),  # the more specific network says no
    ("n", "dst", {"dst": "10.2.1.129"}, True),  # and one more specific yes
    ("n", "dst", {"dst": "10.3.0.1"}, False),
    ("n0", "src", {}, True),
    ("ip", "dst,dst", {}, True),
    ("ip", "dst,dst", {"dport": 54}, False),
    ("ip", "dst,src", {"sport": 53}, True),
    ("ip", "dst", {}, False),
    ("ip", "dst,dst", {"protocol": 6}, False),
    ("ip", "dst,dst", {"dport": None}, None),
    ("ip", "dst,dst", {"protocol": 1, "icmp_type": 8, "icmp_code": 0}, True),
    ("ip", "dst,src", {"protocol": 1, "icmp_type": 3, "icmp_code": 1}, True),
    ("ip", "dst,dst", {"protocol": 1, "icmp_type": 3, "icmp_code": 2}, False),
    ("ip", "dst,dst", {"protocol": 1}, None),
    ("ip", "dst,dst", {"protocol": 50, "dport": None}, True),
    ("ip", "dst,dst", {"fragment": True}, False),
    ("ipi", "dst,dst,src", {}, True),
    ("ipi", "src,dst,dst", {}, False),
    ("ipi", "dst,dst", {}, False),
    ("ipn", "dst,dst,src", {}, True),
    ("ipn", "dst,dst,src", {"src": "10.1.5.1"}, False),
    ("np", "dst,dst", {}, True),
    ("np", "src,dst", {}, False),
    ("nn", "src,dst", {}, True),
    ("nn", "src,dst", {"dst": "10.2.1.1"}, False),
    ("nn", "dst,src", {}, False),
    ("npn", "src,dst,dst", {}, True),
    ("npn", "src,src,dst", {}, False),
    ("ni", "src,src", {}, True),
    ("ni", "src,src", {"iif": "eth1"}, False),
    ("ni", "src,src", {"src": "10.1.2.1"}, False),  # its own network is there, by another interface
    ("ni", "src,src", {"src": "10.1.3.1"}, True),
    ("ni", "src,src", {"src": "10.1.4.1"}, False),
    ("ni", "src,src", {"src": "10.1.5.1"}, True),  # a member of a bridge's port is not looked at
    ("ni", "src,dst", {}, None),
    ("ni", "src,dst", {"oif": "eth0"}, True),
    ("ni", "src,src", {"local": True, "iif": None}, False),
    ("m", "src", {"mac_src": "00:11:22:33:44:55"}, True),
    ("m", "src", {"mac_src": "00:11:22:33:44:56"}, False),
    ("m", "src", {}, None),
    ("m", "dst", {"mac_src": "00:11:22:33:44:55"}, None),
    ("m", "src", {"local": True, "iif": None}, False),
    ("im", "src,src", {"mac_src": "00:11:22:33:44:55"}, True),
    ("im", "src,src", {}, None),
    ("ik", "src,src", {"mark": 0x110}, True),
    ("ik", "src,src", {"mark": 0x11}, False),
    ("ik", "src,src", {"mark": 0x10, "mark_unknown": 0x1}, None),
    ("ik", "src,src", {"mark": 0x10, "mark_unknown": 0x100}, True),
    ("bp", "dst", {}, True),
    ("bp", "src", {}, False),
    ("bp", "dst", {"protocol": 132}, False),  # TCP and UDP only
    ("bi", "dst", {}, True),
    ("bi", "src", {}, False),
    ("bim", "src,src", {}, True),  # listed without a hardware address
    ("bim", "src,src", {"src": "10.1.0.3"}, None),
    ("bim", "src,src", {"src": "10.1.0.3", "mac_src": "00:11:22:33:44:55"}, True),
    ("bim", "src,src", {"src": "10.1.0.4", "mac_src": "00:11:22:33:44:55"}, False),
    ("six", "dst", {}, False),
    ("l", "dst", {}, True),
    ("l", "dst", {"dst": "10.2.1.1"}, False),
    ("lm", "dst", {}, True),
    ("lm", "src", {}, None),  # a set in it is not in the dump
]


@pytest.mark.parametrize(("name", "directions", "changes", "held"), HELD)
def test_what_a_set_holds(name: str, directions: str, changes: dict[str, Any], held: bool | None) -> None:
    assert SETS[name].holds(packet(**changes), directions.split(","), HOST) is held


@pytest.mark.parametrize(
    ("name", "dst", "held"),
    [
        ("n", "10.2.0.2", False),
        ("n", "10.2.1.1", True),
        ("n", "10.3.0.1", False),
        ("l", "10.2.1.1", True),
        ("i", "10.2.0.2", True),
    ],
)
def test_return_nomatch_turns_what_is_found(name: str, dst: str, held: bool) -> None:
    assert SETS[name].holds(packet(dst=dst), ["dst"], HOST, return_nomatch=True) is held


@pytest.mark.parametrize(
    ("name", "held"), [("six", True), ("i", False), ("n", False), ("bp", True), ("l", True), ("bi", False)]
)
def test_a_set_of_the_other_family_holds_nothing(name: str, held: bool) -> None:
    assert SETS[name].holds(packet6(), ["dst"], HOST) is held


def test_the_cost_of_a_look_up_does_not_grow_with_the_members() -> None:
    lines = ["create big hash:net family inet"]
    lines += [f"add big 10.{n // 250}.{n % 250}.0/24" for n in range(10_000)]
    lines += ["add big 172.16.0.0/12"]
    big = read_ipset("\n".join(lines), source="ipset-save.txt")["big"]
    assert isinstance(big, IpSet)
    assert _held(big, "10.39.249.7", "10.250.0.1", "172.17.0.1") == [True, False, True]
    assert big.lookups <= 3 * 2  # two lengths of prefixes


def _held(of: IpSet, *addresses: str) -> Sequence[bool | None]:
    return [of.holds(packet(dst=ip_address(text)), ["dst"], HOST) for text in addresses]
