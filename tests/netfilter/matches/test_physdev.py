from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from kinspect.model.host import Host, Link, Route
from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

CALL = "net.bridge.bridge-nf-call-iptables"
BRIDGE_HOST = Host(
    links={
        "eth0": Link("eth0"),
        "cni0": Link("cni0", kind="bridge"),
        "veth1": Link("veth1", master="cni0"),
        "veth2": Link("veth2", master="cni0"),
    },
    routes=[
        Route(destination=ip_network("0.0.0.0/0"), dev="eth0"),
        Route(destination=ip_network("10.2.0.0/16"), dev="cni0"),
    ],
    sysctls={CALL: "1"},
)
OFF_HOST = replace(BRIDGE_HOST, sysctls={CALL: "0"})
DARK_HOST = replace(BRIDGE_HOST, sysctls={})
FROM_POD = packet(iif="cni0", oif="eth0")
WITHIN = packet(iif="cni0", oif="cni0")
STATED = packet(iif="cni0", oif="cni0", physdev_in="veth1", physdev_out="veth2")

ANSWERS = [
    # Not by a bridge: only what is inverted holds.
    ("-m physdev --physdev-is-in", packet(), BRIDGE_HOST, False),
    ("-m physdev ! --physdev-is-in", packet(), BRIDGE_HOST, True),
    ("-m physdev ! --physdev-is-bridged ! --physdev-out veth1", packet(), BRIDGE_HOST, True),
    ("-m physdev ! --physdev-is-in --physdev-in veth1", packet(), BRIDGE_HOST, False),
    ("-m physdev --physdev-is-bridged", packet(local=True, iif=None), BRIDGE_HOST, False),
    ("-m physdev ! --physdev-is-in", packet(local=True, iif=None), BRIDGE_HOST, True),
    ("-m physdev ! --physdev-is-in", packet(iif="lo"), BRIDGE_HOST, True),
    # By a bridge, routed onward.
    ("-m physdev --physdev-is-in", FROM_POD, BRIDGE_HOST, True),
    ("-m physdev ! --physdev-is-in", FROM_POD, BRIDGE_HOST, False),
    ("-m physdev --physdev-is-bridged", FROM_POD, BRIDGE_HOST, False),
    ("-m physdev --physdev-in veth+", FROM_POD, BRIDGE_HOST, True),  # as all of its ports are
    ("-m physdev --physdev-in eth7", FROM_POD, BRIDGE_HOST, False),
    ("-m physdev --physdev-in veth1", FROM_POD, BRIDGE_HOST, "the packet comes in by the bridge port veth1"),
    ("-m physdev ! --physdev-out veth1", FROM_POD, BRIDGE_HOST, False),  # no port to compare with
    ("-m physdev --physdev-is-in", FROM_POD, OFF_HOST, False),
    # From port to port.
    (
        "-m physdev --physdev-is-bridged",
        WITHIN,
        BRIDGE_HOST,
        "the packet stays on its bridge, going from one port to another",
    ),
    (
        "-m physdev ! --physdev-is-bridged",
        WITHIN,
        BRIDGE_HOST,
        "not the packet stays on its bridge, going from one port to another",
    ),
    ("-m physdev --physdev-is-bridged --physdev-in veth1", STATED, BRIDGE_HOST, True),
    ("-m physdev --physdev-out veth2", STATED, BRIDGE_HOST, True),
    ("-m physdev ! --physdev-out veth+", STATED, BRIDGE_HOST, False),
    ("-m physdev --physdev-is-out --physdev-in veth1", STATED, BRIDGE_HOST, True),
    # Not known.
    ("-m physdev --physdev-is-in", packet(), Host(), "the packet comes in by a port of a bridge"),
    ("-m physdev --physdev-is-in", FROM_POD, DARK_HOST, "net.bridge.bridge-nf-call-iptables is 1"),
    (
        "-m physdev ! --physdev-is-in",
        FROM_POD,
        DARK_HOST,
        "the packet's bridge ports match ! --physdev-is-in",
    ),
    ("-m physdev --physdev-in veth1", FROM_POD, DARK_HOST, "the packet comes in by the bridge port veth1"),
]
REFUSED = [
    ("-m physdev", "expected an option of physdev", "-m"),
    ("-m physdev --physdev-in", "expected a value after --physdev-in", "--physdev-in"),
    ('-m physdev --physdev-in ""', "expected the name of a bridge's port after --physdev-in", '""'),
]


@pytest.mark.parametrize(("words", "of", "host", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, host: Host, expected: Answer) -> None:
    assert answer(words, of, host) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
