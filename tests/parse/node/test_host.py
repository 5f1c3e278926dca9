"""A host from what ip -j and sysctl print, and the routes that follow from it."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from kinspect.errors import SnapshotError
from kinspect.model.questions import Question
from kinspect.netfilter.routing import Hop, route
from kinspect.netfilter.source_address import own_source
from kinspect.netfilter.unknowns import Fork
from kinspect.parse.node.host import read_host
from tests.clusters import node, packet


def files(**found: Any) -> dict[str, bytes]:
    return {name.replace("_", "-") + ".json": json.dumps(value).encode() for name, value in found.items()}


@pytest.mark.parametrize(
    ("dst", "kind", "dev", "gateway"),
    [
        ("192.168.0.11", "local", "eth0", None),
        ("127.9.9.9", "local", "lo", None),
        ("10.42.19.77", "unicast", "cni0", None),
        ("10.42.20.2", "unicast", "eth0", "192.168.0.12"),
        ("203.0.113.1", "unicast", "eth0", "192.168.0.1"),
        ("192.168.0.255", "broadcast", "eth0", None),
        ("fd00:168::11", "local", "eth0", None),
        ("fd00:42:20::5", "unicast", "eth0", "fd00:168::12"),
        ("2001:db8::1", "unicast", "eth0", "fd00:168::1"),
    ],
)
def test_a_recorded_host_routes_as_it_did(dst: str, kind: str, dev: str, gateway: str | None) -> None:
    hop = route(ip_address(dst), node("story-1-both-nodes", "node1").host)
    assert isinstance(hop, Hop)
    assert (hop.type, hop.dev, str(hop.gateway) if hop.gateway else None) == (kind, dev, gateway)


def test_a_process_gets_the_address_of_the_way_out() -> None:
    host = node("story-1-both-nodes", "node1").host
    assert str(own_source(ip_address("10.43.174.31"), host)) == "192.168.0.11"
    assert str(own_source(ip_address("10.42.19.2"), host)) == "10.42.19.1"
    assert str(own_source(ip_address("192.168.0.11"), host)) == "192.168.0.11"


def test_without_files_the_api_gives_addresses_and_it_is_noted() -> None:
    host, notes = read_host("n", {}, ["192.0.2.1", "node1.example"])
    assert host.is_local(ip_address("192.0.2.1")) is True
    assert host.is_local(ip_address("192.0.2.2")) is False
    assert len(notes) == 2
    nothing, _ = read_host("n", {})
    assert nothing.is_local(ip_address("192.0.2.1")) is None
    assert nothing.is_local(ip_address("127.0.0.1")) is True


def test_longer_prefixes_and_lower_metrics_win() -> None:
    host, _ = read_host(
        "n",
        files(
            ip_route=[
                {"dst": "10.0.0.0/8", "dev": "a", "metric": 5},
                {"dst": "10.0.0.0/8", "dev": "b", "metric": 1},
                {"dst": "10.1.0.0/16", "dev": "c", "metric": 9},
                {"type": "blackhole", "dst": "10.2.0.0/16"},
                {"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "f"},
            ]
        ),
    )  # fmt: skip
    found = {dst: route(ip_address(dst), host) for dst in ("10.9.9.9", "10.1.0.1", "10.2.0.1", "8.8.8.8")}
    assert {dst: (hop.type, hop.dev) if isinstance(hop, Hop) else None for dst, hop in found.items()} == {
        "10.9.9.9": ("unicast", "b"),
        "10.1.0.1": ("unicast", "c"),
        "10.2.0.1": ("blackhole", None),
        "8.8.8.8": ("unicast", "f"),
    }


def test_policy_rules_go_by_source_mark_and_interface() -> None:
    host, _ = read_host(
        "n",
        files(
            ip_route=[
                {"dst": "default", "dev": "main0"},
                {"dst": "default", "dev": "src0", "table": "10"},
                {"dst": "default", "dev": "mark0", "table": "11"},
                {"dst": "default", "dev": "iif0", "table": "12"},
            ],
            ip_rule=[
                {"priority": 0, "src": "all", "table": "local"},
                {"priority": 10, "src": "10.0.0.0", "srclen": 8, "table": "10"},
                {"priority": 11, "src": "all", "fwmark": "0x1", "fwmask": "0x3", "table": "11"},
                {"priority": 12, "src": "all", "iif": "cni0", "table": "12"},
                {"priority": 13, "src": "all", "action": "prohibit", "dst": "203.0.113.0", "dstlen": 24},
                {"priority": 32766, "src": "all", "table": "main"},
            ],
        ),
    )

    def dev(dst: str = "8.8.8.8", src: str = "192.0.2.9", **fields: Any) -> str | None:
        hop = route(ip_address(dst), host, packet(src, dst, 80, **{"iif": "eth9", **fields}))
        assert isinstance(hop, Hop)
        return hop.dev or hop.type

    assert dev() == "main0"
    assert dev(src="10.1.1.1") == "src0"
    assert dev(mark=0x5) == "mark0"
    assert dev(iif="cni0") == "iif0"
    assert dev("203.0.113.7") == "prohibit"


RULES_IN_DOUBT = [
    {"priority": 5, "colour": "red", "table": "9"},
    {"priority": 6, "fwmark": "0x10", "fwmask": "0x30", "table": "7"},
    {"priority": 32766, "table": "main"},
]
LOCAL = {"type": "local", "dst": "192.0.2.1", "dev": "eth0", "table": "local"}


def in_doubt(*routes: dict[str, Any], **fields: Any) -> Hop | Fork[Hop] | None:
    """What is decided for a packet with a mark of unknown bits."""
    host, _ = read_host(
        "n", files(ip_route=[{"dst": "default", "dev": "main0"}, *routes], ip_rule=RULES_IN_DOUBT)
    )
    return route(ip_address("8.8.8.8"), host, packet("192.0.2.9", "8.8.8.8", 80, **fields))


def test_a_rule_that_cannot_be_decided_is_a_fork_to_both_ways() -> None:
    nine = {"dst": "default", "dev": "nine0", "table": "9"}
    assert in_doubt(LOCAL, nine) == Fork(
        Question("route", "the policy routing rule 5 applies (colour red)"),
        Hop("unicast", "nine0"),
        Hop("unicast", "main0"),
    )


def test_a_rule_in_doubt_that_leads_nowhere_changes_nothing() -> None:
    assert in_doubt(LOCAL) == Hop("unicast", "main0")


def test_where_only_the_main_table_was_dumped_another_may_lead_anywhere() -> None:
    assert in_doubt() == Fork(
        Question("route", "the policy routing rule 5 applies (colour red)"),
        Hop("unicast"),
        Hop("unicast", "main0"),
    )


def test_unknown_bits_of_a_mark_leave_a_rule_by_mark_open() -> None:
    seven = {"dst": "default", "dev": "seven0", "table": "7"}
    assert in_doubt(LOCAL, seven) == Hop("unicast", "main0")
    assert in_doubt(LOCAL, seven, mark=0x10) == Hop("unicast", "seven0")
    assert in_doubt(LOCAL, seven, mark_unknown=0xC0) == Hop("unicast", "main0")
    assert in_doubt(LOCAL, seven, mark_unknown=0x10) == Fork(
        Question("route", "the policy routing rule 6 applies (the packet's mark is 0x10/0x30)"),
        Hop("unicast", "seven0"),
        Hop("unicast", "main0"),
    )


@pytest.mark.parametrize("name", ["ip-addr.json", "ip-route.json", "ip-rule.json"])
@pytest.mark.parametrize(
    "data", [b"{}", b"[3]", b'[{"dst": 3}, {"ifname": 3}, {"priority": "x"}]', b"\xff", b"["]
)
def test_unreadable_files_are_named(name: str, data: bytes) -> None:
    with pytest.raises(SnapshotError, match=f"nodes/n/{name}: not what ip -j prints"):
        read_host("n", {name: data})


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(SnapshotError, match=r"nodes/n/ip-route\.json.*10\.0\.0\.300"):
        read_host("n", {"ip-route.json": b'[{"dst": "10.0.0.300/8"}]'})


def ruled(*rules: dict[str, Any], **fields: Any) -> str | None:
    """By which interface a packet leaves: nine0 by these rules, main0 by table main."""
    routes = [
        {"dst": "default", "dev": "main0"},
        {"dst": "10.5.0.0/16", "dev": "five0"},
        {"dst": "default", "dev": "nine0", "table": "9"},
        LOCAL,
    ]
    usual = {"priority": 32766, "src": "all", "table": "main"}
    host, _ = read_host("n", files(ip_route=routes, ip_rule=[*rules, usual]))
    dst = fields.pop("dst", "8.8.8.8")
    hop = route(ip_address(dst), host, packet("192.0.2.9", dst, 80, **fields))
    return hop.dev if isinstance(hop, Hop) else f"? {hop.question}" if hop else None


@pytest.mark.parametrize(
    ("rule", "fields", "dev"),
    [
        ({"not": None, "fwmark": "0xca6c"}, {}, "nine0"),  # as iproute2 prints an inverted rule
        ({"not": None, "fwmark": "0xca6c"}, {"mark": 0xCA6C}, "main0"),
        ({"ipproto": "tcp"}, {}, "nine0"),
        ({"ipproto": "udp"}, {}, "main0"),
        ({"dport": 80}, {}, "nine0"),
        ({"dport_start": 81, "dport_end": 90}, {}, "main0"),
        ({"sport_start": 1, "sport_end": 65535}, {}, "nine0"),
        ({"tos": "0x10"}, {"tos": 0x10}, "nine0"),
        ({"tos": "0x10"}, {"tos": 0}, "main0"),
        ({"tos": "0x10"}, {}, "? the policy routing rule 5 applies (the packet's TOS is 0x10)"),
        ({"uid_start": 1000, "uid_end": 2000}, {"iif": "eth0"}, "main0"),  # what comes in is root's
        ({"uid_start": 0, "uid_end": 0}, {"iif": "eth0"}, "nine0"),
        (
            {"uid_start": 1, "uid_end": 5},
            {"local": True},
            "? the policy routing rule 5 applies (its process has a user number from 1 to 5)",
        ),
        ({"oif": "eth0"}, {}, "main0"),
        ({"goto": 32766}, {}, "main0"),
        ({"goto": 7, "unresolved": None}, {}, "main0"),
        ({"nop": None}, {}, "main0"),
        ({"table": "9", "suppress_prefixlen": 0}, {}, "main0"),
        ({"table": "main", "suppress_prefixlen": 0}, {"dst": "10.5.0.1"}, "five0"),
        ({"tun_id": 5}, {}, "? the policy routing rule 5 applies (tun_id 5)"),
    ],
)
def test_each_condition_of_a_policy_rule_counts(
    rule: dict[str, Any], fields: dict[str, Any], dev: str
) -> None:
    assert ruled({"priority": 5, "src": "all", "table": "9", **rule}, **fields) == dev


def test_next_hops_are_found_by_their_number() -> None:
    """With net.ipv4.nexthop_compat_mode = 0 a route names only the object."""
    host, _ = read_host(
        "n",
        files(
            ip_route=[
                {"dst": "10.1.0.0/16", "nhid": 1},
                {"dst": "10.2.0.0/16", "nhid": 10},
                {"dst": "10.3.0.0/16", "nhid": 11},
                {"dst": "10.4.0.0/16", "nhid": 99},
            ],
            ip_nexthop=[
                {"id": 1, "gateway": "192.0.2.1", "dev": "a"},
                {"id": 2, "gateway": "192.0.2.2", "dev": "b"},
                {"id": 10, "group": [{"id": 1, "weight": 3}, {"id": 2}]},
                {"id": 11, "blackhole": None},
            ],
        ),
    )
    assert route(ip_address("10.1.0.1"), host) == Hop("unicast", "a", ip_address("192.0.2.1"))
    several = route(ip_address("10.2.0.1"), host)
    assert isinstance(several, Fork)
    assert "192.0.2.1 (its weight is 3 of 4)" in several.question.text
    assert route(ip_address("10.3.0.1"), host) == Hop("blackhole")
    assert route(ip_address("10.4.0.1"), host) == Hop("unicast")  # by what is not known


def test_a_point_to_point_address_is_of_its_peers_network() -> None:
    info = {"local": "10.66.0.1", "address": "10.77.0.2", "prefixlen": 24}
    host, _ = read_host("n", files(ip_addr=[{"ifname": "tun0", "addr_info": [info]}]))
    assert host.links is not None
    assert str(host.links["tun0"].addresses[0].network) == "10.77.0.0/24"


def test_what_is_a_bridge_is_told_by_its_kind_or_by_a_pods_port() -> None:
    links = [
        {"ifname": "br0", "promiscuity": 0, "linkinfo": {"info_kind": "bridge"}},
        {"ifname": "eth0", "promiscuity": 0},
        {"ifname": "cni0"},
        {"ifname": "veth1", "master": "cni0", "link_netnsid": 0},
        {"ifname": "team0"},
        {"ifname": "eth1", "master": "team0"},
        {"ifname": "bond0", "flags": ["MASTER"]},
        {"ifname": "eth2", "master": "bond0"},
    ]
    host, _ = read_host("n", files(ip_addr=links))
    told = {name: host.is_bridge(name) for name in ("br0", "eth0", "cni0", "team0", "bond0", "eth1")}
    assert told == {"br0": True, "eth0": False, "cni0": True, "team0": None, "bond0": False, "eth1": False}
