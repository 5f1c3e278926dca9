"""Texts that nobody meant: each parser answers or raises its documented error, in time and in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinspect.errors import RulesError, SnapshotError
from kinspect.model.host import Host
from kinspect.netfilter.routing import route
from kinspect.parse.node.host import read_host
from kinspect.parse.node.ipset import read_ipset
from tests.clusters import packet

TYPES = ("hash:ip", "hash:net", "hash:ip,port", "hash:ip,port,ip", "hash:ip,port,net", "hash:net,port", "hash:net,iface",
         "hash:mac", "bitmap:port", "bitmap:ip", "list:set", "hash:net,port,net", "hash:new,thing")  # fmt: skip
MEMBERS = ("10.0.0.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "fd00::/8", "fd00::1", "0.0.0.0/0", "tcp:80", "80", "udp:1-70000",
           "10.0.0.1,tcp:80", "10.0.0.1,tcp:80,10.0.0.2", "10.0.0.0/33", "a", "b", ",", ",,,", "10.0.0.1,eth0", "-", "icmp:8/0",
           "02:00:00:00:00:01", "\x1b[31m", "é", "")  # fmt: skip
WORDS = st.sampled_from(
    ["create a ", "create b ", "add a ", "add b ", *TYPES, *MEMBERS, " family inet6", " family inet", " range 0-65535", " range 10.0.0.0/8",
     " netmask 24", " counters", " skbinfo", " timeout 0", " nomatch", " comment \"x y\"", " before a", "\n", " ", "\r\n", "#", "\"", "Name: a\n",
     "Type: hash:ip\n", "Members:\n", "Header: family inet\n", "flush a\n"]
)  # fmt: skip


@settings(max_examples=400)
@given(st.lists(WORDS, max_size=30).map("".join))
def test_sets_are_read_or_refused_with_their_line(text: str) -> None:
    try:
        sets = read_ipset(text.encode("utf-8", "surrogateescape"), source="sets")
        host = Host(sets=sets)
        for found in sets.values():
            for probe in (packet("10.0.0.1", "10.0.0.2", 80), packet("fd00::1", "fd00::2", 80)):
                for directions in (["src"], ["dst", "dst"], ["src", "dst", "src"]):
                    assert found.holds(probe, directions, host) in (True, False, None)
    except RulesError as error:
        assert str(error).startswith("sets:")


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.sampled_from(TYPES), st.lists(st.sampled_from(MEMBERS), max_size=4)), max_size=3)
)
def test_members_of_any_type_are_read_or_refused(made: list[tuple[str, list[str]]]) -> None:
    lines = []
    for number, (kind, members) in enumerate(made):
        lines += [
            f"create s{number} {kind} range 0-65535" if "bitmap" in kind else f"create s{number} {kind}"
        ]
        lines += [f"add s{number} {member}" for member in members]
    try:
        read_ipset("\n".join(lines), source="sets")
    except RulesError as error:
        assert str(error).startswith("sets:")


ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, 3, -1, 1 << 70, 1.5, True, "", "x", "10.0.0.1", "fd00::1", "10.0.0.0/8", "default", "0x10", "0xzz", "local", "unicast",
     "blackhole", "main", "255", "eth0", [], ["a"], {}, [{}], "\x1b]0;x\x07", "é"]
)  # fmt: skip
KEYS = ("ifname", "addr_info", "local", "family", "prefixlen", "scope", "flags", "address", "link_type", "dst", "gateway", "via", "host",
        "dev", "table", "type", "prefsrc", "metric", "pref", "nexthops", "priority", "src", "srclen", "dstlen", "fwmark", "fwmask", "iif",
        "oif", "action", "not", "ipproto", "temporary", "deprecated", "broadcast", "ifindex", "master", "linkinfo")  # fmt: skip
OBJECTS = st.dictionaries(
    st.sampled_from(KEYS), ODD | st.lists(st.dictionaries(st.sampled_from(KEYS), ODD), max_size=2)
)
FILES = ("ip-addr.json", "ip-route.json", "ip-6-route.json", "ip-rule.json", "ip-6-rule.json")


@settings(max_examples=500)
@given(st.dictionaries(st.sampled_from(FILES), st.lists(OBJECTS | ODD, max_size=3), min_size=1))
def test_addresses_routes_and_rules_are_read_or_refused(files: dict[str, list[Any]]) -> None:
    try:
        host, _ = read_host("n", {name: json.dumps(items).encode() for name, items in files.items()})
        for dst in ("10.0.0.1", "fd00::1", "8.8.8.8"):
            route(ip_address(dst), host, packet("10.0.0.9" if "." in dst else "fd00::9", dst, 80))
    except SnapshotError as error:
        assert str(error).startswith("nodes/n/ip-")


CHILD = """
import resource, sys
from kinspect.errors import KinspectError
what, piece, size = sys.argv[1], sys.argv[2], 50_000_000
line = piece * (size // len(piece))
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
try:
    if what == "rule":
        from kinspect.parse.rules.dump import read_dump
        dump = read_dump(f"*nat\\n-A A {line}\\nCOMMIT\\n".encode(), source="f")
        dump.chain("nat", "A").rules()
        raise dump.damaged[0]
    elif what == "line":
        from kinspect.parse.rules.dump import read_dump
        read_dump(f"*nat\\n{line}\\nCOMMIT\\n".encode(), source="f")
    elif what == "listing":
        from kinspect.parse.rules.dump import read_dump
        dump = read_dump(f"Chain A (1 references)\\n{line}\\n".encode(), source="f", table="nat")
        dump.chain("nat", "A").rules()
    elif what == "set":
        from kinspect.parse.node.ipset import read_ipset
        read_ipset(f"create a hash:ip family inet\\nadd a {line}\\n".encode(), source="f")
    elif what == "json":
        from kinspect.parse.node.host import read_host
        read_host("n", {"ip-addr.json": f'[{{"ifname": "{line}"}}]'.encode(), "ip-route.json": line.encode()})
    elif what == "packet":
        from kinspect.parse.user.packet_text import packet_from_expression
        packet_from_expression(line)
except KinspectError as error:
    assert len(str(error)) < 2000, len(str(error))
"""


@pytest.mark.outside
@pytest.mark.parametrize(
    ("what", "piece"),
    [
        *[
            ("rule", piece)
            for piece in ("a", " a", '"', "\\", "! ", "-m tcp ", "-s 10.0.0.0/8,", "--dport 80 ")
        ],
        *[("line", piece) for piece in ("a", " ", "[", ":", "-A x ", "-A A\n")],
        *[("listing", piece) for piece in ("a ", " ", "/* ")],
        *[("set", piece) for piece in ("1", "1.1.1.1,", " ")],
        *[("json", piece) for piece in ("a", "[", '{"a":')],
        *[("packet", piece) for piece in ("(", "IP()/", "IP(", "a", " ")],
    ],
)
def test_a_hostile_line_of_fifty_megabytes_has_bounded_memory_and_time(what: str, piece: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, what, piece], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr[-1500:]
