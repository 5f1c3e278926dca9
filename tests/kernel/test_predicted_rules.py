"""Predicted rules loaded into a real kernel: it takes them as they are, and carries packets as the answer says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kinspect.errors import CallError
from kinspect.kubeproxy.names import is_own
from kinspect.model.packet import Family, Packet
from kinspect.parse.rules.dump import read_dump
from kinspect.pipeline.gather.sources import Recorded
from kinspect.pipeline.whatif import Asked, WhatIfRequest, whatif
from kinspect.snapshot.types import NodeName
from tests.clusters import DATA, packet
from tests.kernel.compare import sent
from tests.kernel.lab import BACKENDS, Lab

pytestmark = pytest.mark.kernel

FLOWS = 40
FILES: dict[Family, str] = {4: "iptables-save.txt", 6: "ip6tables-save.txt"}
SERVICES = st.sampled_from(["web", "edge", "front", "dual", "sticky", "single", "agent", "api"])
PODS = st.sampled_from(
    ["web-1", "web-2", "web-3", "web-4", "web-5", "api-1", "dual-1", "single-1", "agent-1", "spare-1"]
)
FIELDS = st.sampled_from(
    [
        ("externalTrafficPolicy", "Local"),
        ("externalTrafficPolicy", "Cluster"),
        ("internalTrafficPolicy", "Local"),
        ("sessionAffinity", "ClientIP"),
        ("sessionAffinity", "None"),
        ("trafficDistribution", "PreferSameZone"),
        ("trafficDistribution", "PreferSameNode"),
        ("type", "ClusterIP"),
        ("type", "NodePort"),
        ("type", "LoadBalancer"),
        ("externalIPs", ["198.51.100.77", "2001:db8::77"]),
        ("loadBalancerSourceRanges", ["192.168.0.0/24", "fd00::/16", "0.0.0.0/0"]),
        ("publishNotReadyAddresses", True),
        ("ipFamilyPolicy", "PreferDualStack"),
        ("selector", {"app": "web"}),
        ("selector", {"app": "nobody"}),
    ]
)
CHANGES = st.one_of(
    st.builds(lambda s, f: Asked("set", f"svc/shop/{s}:{f[0]}={json.dumps(f[1])}"), SERVICES, FIELDS),
    st.builds(lambda verb, p: Asked(verb, f"pod/shop/{p}"), st.sampled_from(["without", "unready", "terminating"]), PODS),
    st.builds(lambda p, app: Asked("relabel", f"pod/shop/{p}:app={app}"), PODS, st.sampled_from(["web", "api", "x"])),
    st.builds(lambda s, n: Asked("add", f"shop/{s}@{n}"), SERVICES, st.sampled_from(["node1", "node2"])),
    st.builds(lambda s: Asked("delete", f"svc/shop/{s}"), SERVICES),
    st.just(Asked("drain", "node/node2")),
)  # fmt: skip


def flows(src: str, dst: str, dport: int, **fields: Any) -> list[Packet]:
    one = packet(src, dst, dport, **fields)
    return [one.replace(sport=20000 + number) for number in range(FLOWS)]


def ways(family: Family) -> list[list[Packet]]:
    """To a NodePort from outside, from the node and from a pod, to a cluster IP, to a load balancer."""
    if family == 6:
        return [
            flows("fd00:168::1", "fd00:168::11", 31488, iif="eth0"),
            flows("fd00:42:19::7", "fd00:43::72b2", 80, iif="cni0"),
        ]
    return [
        flows("192.168.0.1", "192.168.0.11", 31572, iif="eth0"),
        flows("192.168.0.11", "192.168.0.11", 31572, local=True),
        flows("10.42.19.77", "10.43.111.23", 80, iif="cni0"),
        flows("198.51.100.9", "203.0.113.80", 80, iif="eth0"),
    ]


def own(text: bytes, family: Family) -> dict[str, list[str]]:
    """kube-proxy's rules by chain, of a dump."""
    dump = read_dump(text, source="dump", family=family)
    found = {}
    for table in dump.tables():
        for name in dump.chains(table):
            chain = dump.chain(table, name)
            if chain is not None and is_own(name):
                found[f"{table} {name}"] = list(chain.texts())
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@settings(max_examples=12, suppress_health_check=list(HealthCheck), phases=[Phase.explicit, Phase.generate])
@given(changes=st.lists(CHANGES, min_size=1, max_size=5))
def test_any_sequence_of_changes_gives_rules_that_the_kernel_takes_and_follows_as_predicted(
    node: Lab, backend: str, changes: list[Asked]
) -> None:
    try:
        made = whatif(WhatIfRequest(target=None, changes=changes), Recorded(DATA / "changes/before"))
    except CallError:
        return  # the API server would refuse it, or an earlier change took away what a later one names
    for family, file in FILES.items():
        text = made.snapshot.nodes[NodeName("node1")][file]
        node.load(text, backend, family)
        try:
            assert own(node.save(backend, family), family) == own(text, family)
            for packets in ways(family):
                _, differences = sent(node, backend, packets)
                assert differences == []
        finally:
            node.flush(backend, family)
