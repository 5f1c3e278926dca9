from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from kinspect.model.host import Host, Link, LinkAddress, Route
from kinspect.model.packet import Packet
from kinspect.model.rules import Bind
from tests.netfilter.tables import act, bound, packet, packet6, refused

OUT = Host(
    links={
        "eth1": Link(
            "eth1",
            (
                LinkAddress(ip_address("10.9.0.1"), ip_network("10.9.0.0/16")),
                LinkAddress(ip_address("10.2.0.1"), ip_network("10.2.0.0/16")),
            ),
        )
    },
    routes=[Route(destination=ip_network("10.2.0.0/16"), dev="eth1")],
)

BINDINGS = [
    ("-p udp -j DNAT --to-destination 10.3.0.1:5353", packet(), "10.1.0.2:40000 > 10.3.0.1:5353"),
    ("-p udp -j DNAT --to-destination 10.3.0.1", packet(), "10.1.0.2:40000 > 10.3.0.1:53"),
    ("-p udp -j DNAT --to 10.3.0.1", packet(), "10.1.0.2:40000 > 10.3.0.1:53"),
    ("-p udp -j DNAT --to-destination :54", packet(), "10.1.0.2:40000 > 10.2.0.2:54"),
    (
        "-j DNAT --to-destination 10.3.0.1:80",
        packet(protocol=1, sport=None, dport=None),
        "10.1.0.2:? > 10.3.0.1:?",
    ),
    # A range of ports: kept in it, else the lowest; with a base, moved.
    ("-p udp -j DNAT --to-destination 10.3.0.1:50-60", packet(), "10.1.0.2:40000 > 10.3.0.1:53"),
    ("-p udp -j DNAT --to-destination 10.3.0.1:60-70", packet(), "10.1.0.2:40000 > 10.3.0.1:60"),
    ("-p udp -j DNAT --to-destination 10.3.0.1:60-70 --random", packet(), "10.1.0.2:40000 > 10.3.0.1:?"),
    (
        "-p udp -j DNAT --to-destination 10.3.0.1:60 --random --persistent",
        packet(),
        "10.1.0.2:40000 > 10.3.0.1:60",
    ),
    ("-p udp -j DNAT --to-destination :2000-2009/5000", packet(dport=5003), "10.1.0.2:40000 > 10.2.0.2:2003"),
    ("-p udp -j DNAT --to-destination :2000-2009/5000", packet(dport=5012), "10.1.0.2:40000 > 10.2.0.2:2002"),
    ("-p udp -j DNAT --to-destination :2000-2009/5000", packet(dport=4999), "10.1.0.2:40000 > 10.2.0.2:2005"),
    ("-p udp -j DNAT --to-destination :2000-2009/5000", packet(dport=53), "10.1.0.2:40000 > 10.2.0.2:2009"),
    ("-p udp -j DNAT --to-destination [fd03::1]:80", packet6(), "[fd01::2]:40000 > [fd03::1]:80"),
    ("-p udp -j DNAT --to-destination fd03::1", packet6(), "[fd01::2]:40000 > [fd03::1]:53"),
    ("-p udp -j SNAT --to-source 10.3.0.1", packet(), "10.3.0.1:40000 > 10.2.0.2:53"),
    ("-p udp -j SNAT --to-source 10.3.0.1:7000", packet(), "10.3.0.1:7000 > 10.2.0.2:53"),
    ("-p udp -j SNAT --to-source 10.3.0.1:7000-8000", packet(sport=7500), "10.3.0.1:7500 > 10.2.0.2:53"),
    ("-p udp -j SNAT --to-source 10.3.0.1:7000-8000", packet(), "10.3.0.1:? > 10.2.0.2:53"),
    ("-p udp -j SNAT --to-source 10.3.0.1 --random-fully", packet(), "10.3.0.1:? > 10.2.0.2:53"),
    ("-p udp -j MASQUERADE", packet(oif="eth1"), "10.2.0.1:40000 > 10.2.0.2:53"),
    ("-p udp -j MASQUERADE --random-fully", packet(oif="eth1"), "10.2.0.1:? > 10.2.0.2:53"),
    ("-p udp -j MASQUERADE --to-ports 7000", packet(oif="eth1"), "10.2.0.1:7000 > 10.2.0.2:53"),
]

# What a real kernel (6.18) chose of ten addresses, for these sources and destinations.
CHOICES = [
    ("10.9.0.201", "10.9.0.99", "", "10.9.0.18"),
    ("10.9.0.202", "10.9.0.99", "", "10.9.0.13"),
    ("10.9.0.203", "10.9.0.99", "", "10.9.0.15"),
    ("10.9.0.204", "10.9.0.99", "", "10.9.0.19"),
    ("10.9.0.205", "10.9.0.99", "", "10.9.0.16"),
    ("10.9.0.201", "10.9.0.98", " --persistent", "10.9.0.13"),
    ("10.9.0.202", "10.9.0.98", " --persistent", "10.9.0.12"),
    ("10.9.0.203", "10.9.0.98", " --persistent", "10.9.0.19"),
    ("10.9.0.204", "10.9.0.98", " --persistent", "10.9.0.14"),
    ("10.9.0.205", "10.9.0.98", " --persistent", "10.9.0.18"),
]

TO = "an address, as ADDR[-ADDR][:PORT[-PORT]],"
REFUSED = [
    ("-j DNAT", "expected --to-destination", "-j"),
    ("-j DNAT --to-destination", "expected a value after --to-destination", "--to-destination"),
    ('-j DNAT --to-destination ""', "expected an address or a port after --to-destination", '""'),
    ("-j DNAT --to-destination  --random", "expected a value after --to-destination", "--to-destination"),
    ("-j DNAT --to-destination :0 --persistent", f"expected {TO} after --to-destination", ":0"),
    ("-j DNAT --to-destination 10.0.0.1:", f"expected {TO} after --to-destination", "10.0.0.1:"),
    (
        "-j DNAT --to-destination 10.0.0.9-10.0.0.1",
        f"expected {TO} after --to-destination",
        "10.0.0.9-10.0.0.1",
    ),
    ("-j DNAT --to-destination 10.0.0.1:9-1", f"expected {TO} after --to-destination", "10.0.0.1:9-1"),
    (
        "-j DNAT --to-destination :1 --persistent --to-destination 10.0.0.1",
        "--to-destination is given twice: this rule is damaged",
        "--to-destination",
    ),
    ("-j SNAT --to-source x", f"expected {TO} after --to-source", "x"),
    ("-j MASQUERADE --to-ports x", "expected a port or range after --to-ports", "x"),
]


@pytest.mark.parametrize(("words", "of", "ends"), BINDINGS)
def test_what_a_connection_is_bound_to(words: str, of: Packet, ends: str) -> None:
    assert bound(words, of, OUT) == ends


@pytest.mark.parametrize(("src", "dst", "more", "chosen"), CHOICES)
def test_one_of_several_addresses_is_chosen_as_the_kernel_chooses(
    src: str, dst: str, more: str, chosen: str
) -> None:
    words = f"-p udp -j DNAT --to-destination 10.9.0.10-10.9.0.19{more}"
    assert bound(words, packet(src=src, dst=dst)) == f"{src}:40000 > {chosen}:53"


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("-p udp -j DNAT --to-destination 10.3.0.1", {"dnat": True, "dst_bound": True}),
        ("-p udp -j DNAT --to-destination 10.2.0.2", {"dnat": False, "dst_bound": True}),
        ("-p udp -j SNAT --to-source 10.3.0.1", {"snat": True, "src_bound": True}),
        ("-p udp -j SNAT --to-source 10.1.0.2", {"snat": False, "src_bound": True}),
    ],
)
def test_the_state_says_nat_only_where_something_changed(words: str, fields: dict[str, Any]) -> None:
    effect = act(words)
    assert isinstance(effect, Bind)
    assert {name: getattr(effect.packet, name) for name in fields} == fields


def test_masquerade_without_a_known_interface_has_no_address() -> None:
    effect = act("-j MASQUERADE")
    assert isinstance(effect, Bind)
    assert effect.snat == "masquerade"
    assert effect.packet.src == packet().src


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
