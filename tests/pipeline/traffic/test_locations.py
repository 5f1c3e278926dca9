"""Where addresses are, if the API does not say: by the nodes' own routes and addresses."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from kinspect.pipeline.gather.read import read_facts
from kinspect.pipeline.traffic.locations import Locator
from kinspect.snapshot.store import open_snapshot
from tests.checks.altered import Altered


def without_networks(node: Any) -> None:
    for field in ("podCIDR", "podCIDRs"):
        node["spec"].pop(field, None)


@pytest.fixture
def locator(tmp_path: Path) -> Locator:
    altered = Altered("story-1-both-nodes", tmp_path).each("nodes", "node", without_networks)
    facts = read_facts(open_snapshot(altered.path))
    return Locator(facts.cluster, facts.states)


@pytest.mark.parametrize(
    ("address", "node"),
    [
        ("10.42.19.77", "node1"),
        ("10.42.20.77", "node2"),
        ("192.168.0.77", None),
        ("8.8.8.8", None),
    ],
)
def test_a_pod_network_is_where_the_nodes_routes_have_it(
    locator: Locator, address: str, node: str | None
) -> None:
    found = locator.at(ip_address(address), None)
    assert (found.node, found.known) == (node, node is not None)
    assert locator.without_pod(ip_address(address)) is (node is not None)
