from __future__ import annotations

from collections.abc import Mapping

import pytest

from kinspect.errors import RulesError
from kinspect.model.host import AddressSet, Host
from kinspect.netfilter.sets import IpSet
from kinspect.parse.node.ipset import read_ipset
from tests.netfilter.tables import packet, packet6


def holds(sets: Mapping[str, AddressSet], name: str, directions: str, **changes: object) -> bool | None:
    return sets[name].holds(packet(**changes), directions.split(","), Host(sets=sets))


@pytest.mark.parametrize(
    ("kind", "member", "directions"),
    [
        ("hash:ip", "10.2.0.2", "dst"),
        ("hash:ip", "10.2.0.0-10.2.0.9", "dst"),
        ("hash:ip", "10.2.0.0/30", "dst"),
        ("hash:ip timeout 300", "10.2.0.2 timeout 299", "dst"),
        ("hash:ip counters comment", '10.2.0.2 packets 1 bytes 60 comment "a nomatch one"', "dst"),
        ("hash:net skbinfo", "10.2.0.0/16 skbmark 0x1/0xffffffff skbprio 1:10 skbqueue 10", "dst"),
        ("hash:net", "10.2.0.0-10.2.0.9", "dst"),
        ("hash:net,iface", "10.1.0.0/16,eth0", "src,src"),
        ("hash:ip,port", "10.2.0.2,udp:50-60", "dst,dst"),
        ("hash:ip,port", "10.2.0.2,17:53", "dst,dst"),
        ("hash:ip,port,net", "10.2.0.2,udp:53,10.1.0.0/16", "dst,dst,src"),
        ("bitmap:port range 1-100", "53", "dst"),
        ("bitmap:port range 1-100", "50-60", "dst"),
        ("bitmap:ip range 10.2.0.0/16 netmask 24", "10.2.0.0", "dst"),
    ],
)
def test_a_member_as_people_and_ipset_write_it(kind: str, member: str, directions: str) -> None:
    sets = read_ipset(f"create x {kind}\nadd x {member}\n", source="ipset-save.txt")
    assert holds(sets, "x", directions) is True
    assert holds(sets, "x", directions, src="192.0.2.1", dst="192.0.2.2", dport=1000) is False


def test_members_of_ipv6() -> None:
    text = "create x hash:net,port family inet6\nadd x fd02::/64,udp:53\n"
    sets = read_ipset(text, source="ipset-save.txt")
    assert sets["x"].holds(packet6(), ["dst", "dst"], Host(sets=sets)) is True
    assert sets["x"].holds(packet6(dport=54), ["dst", "dst"], Host(sets=sets)) is False


def test_a_restore_script_as_people_keep_it() -> None:
    sets = read_ipset(
        b"# mine\r\n-exist create x hash:ip\r\nadd x 9.9.9.9\r\nflush x\r\n\r\nadd x 10.2.0.2 -exist\r\nCOMMIT\r\n",
        source="ipset-save.txt",
    )
    assert holds(sets, "x", "dst") is True
    assert holds(sets, "x", "dst", dst="9.9.9.9") is False


def test_names_with_signs() -> None:
    name = "weave-;rGqyMIl1HN^cfDki~Z$3]6!N"
    sets = read_ipset(f"create {name} list:set size 8\nadd {name} other\n", source="ipset-save.txt")
    assert sets[name].member_sets() == ["other"]


def test_a_listing() -> None:
    sets = read_ipset(
        """\
Name: KUBE-LOOP-BACK
Type: hash:ip,port,ip
Revision: 6
Header: family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0xba55a90a
Size in memory: 200
References: 1
Number of entries: 1
Members:
10.2.0.2,udp:53,10.1.0.2

Name: empty
Type: hash:ip
Header: family inet6 hashsize 1024 maxelem 65536
Members:

Name: list
Type: list:set
Header: size 8
Members:
KUBE-LOOP-BACK
""",
        source="ipset-list.txt",
    )
    assert holds(sets, "KUBE-LOOP-BACK", "dst,dst,src") is True
    assert holds(sets, "list", "dst,dst,src") is True
    assert sets["empty"].holds(packet6(), ["dst"], Host()) is False


def test_a_terse_listing_does_not_know_its_members() -> None:
    text = "Name: x\nType: hash:ip\nHeader: family inet\nNumber of entries: 4\n"
    assert holds(read_ipset(text, source="ipset-list.txt"), "x", "dst") is None


def test_members_are_read_when_their_set_is_asked() -> None:
    sets = read_ipset(
        "create a hash:ip\nadd a 10.2.0.2\ncreate b hash:ip\nadd b nonsense\n", source="ipset-save.txt"
    )
    assert holds(sets, "a", "dst") is True
    for _ in range(2):  # asked again, it is no less wrong
        with pytest.raises(RulesError) as caught:
            holds(sets, "b", "dst")
        assert caught.value.message == "ipset-save.txt:4: expected a member of b, which is a hash:ip"
    assert caught.value.excerpt() == "    nonsense\n    ^~~~~~~~"


def test_counters_and_type_are_the_header_s() -> None:
    sets = read_ipset("create a hash:ip counters\ncreate b hash:net\n", source="ipset-save.txt")
    assert [(each.type, each.counted) for each in sets.values()] == [("hash:ip", True), ("hash:net", False)]
    assert all(isinstance(each, IpSet) for each in sets.values())


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        ("hash:ip,port", "10.0.0.1"),
        ("hash:ip,port", "10.0.0.1,udp:x"),
        ("hash:ip,port", "10.0.0.1,nonsense:5"),
        ("hash:ip", "10.0.0.9-10.0.0.1"),
        ("hash:ip", "10.0.0.1-::1"),
        ("hash:net", "10.0.0.0/33"),
        ("hash:mac", "00:11"),
        ("hash:ip,mark", "10.0.0.1,x"),
        ("hash:ip", '10.0.0.1 comment "unclosed'),
        ("bitmap:port", "a-b"),
    ],
)
def test_a_member_that_cannot_be_read(kind: str, member: str) -> None:
    sets = read_ipset(f"create x {kind}\nadd x {member}\n", source="ipset-save.txt")
    with pytest.raises(RulesError, match=r"^ipset-save.txt:2: expected a member of x") as caught:
        holds(sets, "x", "dst,dst,src")
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("add x 10.0.0.1", "ipset-save.txt:1: there is no set x before this line"),
        ("create x", "ipset-save.txt:1: expected create NAME TYPE or add NAME MEMBER"),
        ("\n*filter", "ipset-save.txt:2: expected create NAME TYPE or add NAME MEMBER"),
        ("x\nName: a", "ipset-save.txt:1: expected Name: and the name of a set"),
    ],
)
def test_text_that_is_none_of_ipset_s(text: str, message: str) -> None:
    with pytest.raises(RulesError) as caught:
        read_ipset(text, source="ipset-save.txt")
    assert caught.value.message == message


@pytest.mark.parametrize("header", ["netmask x", "netmask 99", "markmask x"])
def test_a_header_that_cannot_be_read(header: str) -> None:
    with pytest.raises(RulesError) as caught:
        read_ipset(f"create x hash:ip {header}\n", source="ipset-save.txt")
    assert caught.value.message == "ipset-save.txt:1: expected netmask and markmask of the set x to be masks"
