"""Recorded dumps loaded into a real kernel: every rule's counter is what the answer expects."""

from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.clusters import DATA, packet
from tests.kernel.compare import sent
from tests.kernel.lab import BACKENDS, Lab

pytestmark = pytest.mark.kernel

FLOWS = 200


def flows(src: str, dst: str, dport: int, protocol: str = "tcp", **fields: object) -> list[Packet]:
    """New connections, told apart by their source ports."""
    one = packet(src, dst, dport, protocol, **fields)
    return [one.replace(sport=20000 + number) for number in range(FLOWS)]


CASES = [
    pytest.param("story-1-both-nodes", flows("192.168.0.1", "192.168.0.11", 31000, iif="eth0"), id="NodePort, policy Cluster"),
    pytest.param("story-1-both-nodes", flows("10.42.19.77", "10.43.174.31", 80, iif="cni0"), id="a pod to the cluster IP"),
    pytest.param("story-1-both-nodes", flows("10.42.19.2", "10.43.174.31", 80, iif="cni0"), id="a pod that may reach itself"),
    pytest.param("story-1-both-nodes", flows("192.168.0.11", "10.43.174.31", 80, local=True), id="a process of the node"),
    pytest.param("story-1-both-nodes", flows("192.168.0.11", "192.168.0.11", 31000, local=True), id="a process to its own NodePort"),
    pytest.param("story-1-both-nodes", flows("127.0.0.1", "127.0.0.1", 31000, local=True), id="NodePort on loopback"),
    pytest.param("story-1-both-nodes", flows("192.168.0.1", "192.168.0.11", 22, iif="eth0"), id="what is no service"),
    pytest.param("story-1-both-nodes", flows("192.168.0.1", "10.42.19.2", 80, iif="eth0"), id="straight to a pod"),
    pytest.param("story-5-local-policy", flows("192.168.0.1", "192.168.0.11", 31000, iif="eth0"), id="NodePort, policy Local"),
    pytest.param("story-5-local-policy", flows("10.42.19.77", "192.168.0.11", 31000, iif="cni0"), id="a pod to a Local NodePort"),
    pytest.param("story-5-local-policy", flows("192.168.0.11", "192.168.0.11", 31000, local=True), id="a process to a Local NodePort"),
    pytest.param("zoo-nft", flows("192.168.0.1", "192.168.0.11", 31221, iif="eth0"), id="no endpoints: REJECT"),
    pytest.param("zoo-nft", flows("192.168.0.1", "192.168.0.11", 31986, iif="eth0"), id="no local endpoints: DROP"),
    pytest.param("zoo-nft", flows("198.51.100.9", "203.0.113.80", 80, iif="eth0"), id="a load balancer lets in whom it should"),
    pytest.param("zoo-nft", flows("198.51.99.9", "203.0.113.80", 80, iif="eth0"), id="and nobody else"),
    pytest.param("zoo-nft", flows("192.168.0.1", "192.168.0.11", 30816, iif="eth0"), id="fifty endpoints"),
    pytest.param("zoo-nft", flows("10.42.19.77", "10.43.181.175", 53, "udp", iif="cni0"), id="UDP"),
    pytest.param("zoo-nft", flows("192.168.0.1", "192.168.0.11", 30131, iif="eth0"), id="endpoints in the host's network"),
    pytest.param("zoo-nft", flows("fd00:168::1", "fd00:168::11", 30128, iif="eth0"), id="IPv6 NodePort"),
    pytest.param("zoo-nft", flows("fd00:42:19::7", "fd00:43::ffb", 80, iif="cni0"), id="IPv6 cluster IP"),
]  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("cluster", "packets"), CASES)
def test_every_rule_is_met_as_often_as_the_answer_says(
    node: Lab, backend: str, cluster: str, packets: list[Packet]
) -> None:
    family = packets[0].family
    file = "iptables-save.txt" if family == 4 else "ip6tables-save.txt"
    node.load((DATA / cluster / "nodes" / "node1" / file).read_bytes(), backend, family)
    try:
        evaluations, differences = sent(node, backend, packets)
    finally:
        node.flush(backend, family)
    assert differences == []
    assert evaluations[0].hits, "the packets met rules at all"
