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
