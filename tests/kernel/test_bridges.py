"""Packets that stay on a bridge: whether iptables sees them, and what they keep."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from kinspect.model.packet import Packet, TcpFlag
from tests.kernel.compare import sent
from tests.kernel.lab import Lab

pytestmark = pytest.mark.kernel

SWITCH = "net.bridge.bridge-nf-call-iptables"
RULES = b"""*mangle
-A PREROUTING -s 10.42.19.2/32
-A FORWARD -m ttl --ttl-eq 64
-A FORWARD -m ttl --ttl-eq 63
-A POSTROUTING -s 10.42.19.2/32
COMMIT
*nat
-A PREROUTING -d 10.43.0.10/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.42.19.6:8080
COMMIT
*filter
-A FORWARD -m physdev --physdev-is-bridged
-A FORWARD -m physdev ! --physdev-is-bridged
-A FORWARD -m physdev --physdev-is-in
-A FORWARD -i cni0 -o cni0
-A FORWARD -i cni0 -o eth0
COMMIT
"""


@pytest.fixture
def bridged(node: Lab) -> Iterator[Lab]:
    """The node, whose pod knows a neighbour: both are behind one port, which sends back what it got."""
    node._neighbour("pod", "10.42.19.6", "eth0", node.macs["pod"])
    yield node
    node.flush("nft", 4)
    node.script(f"sysctl -q -w {SWITCH}=1")


@pytest.mark.parametrize("called", ["0", "1"])
@pytest.mark.parametrize(
    "dst", ["10.42.19.6", "10.43.0.10", "203.0.113.9"], ids=["neighbour", "service", "outside"]
)
def test_every_rule_is_met_as_often_as_the_answer_says(bridged: Lab, dst: str, called: str) -> None:
    bridged.script(f"sysctl -q -w {SWITCH}={called}")
    bridged.load(RULES, "nft", 4)
    probes = [
        Packet(
            src=ip_address("10.42.19.2"), dst=ip_address(dst), protocol=6, sport=40000 + number, dport=80,
            tcp_flags=TcpFlag.SYN, iif="cni0", ttl=64, length=40,
        )
        for number in range(3)
    ]  # fmt: skip
    evaluations, differences = sent(bridged, "nft", probes)
    assert differences == []
    assert [way.weight.exact for evaluation in evaluations for way in evaluation] == [1, 1, 1]
