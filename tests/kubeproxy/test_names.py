"""Chain names as kube-proxy makes them, held to recorded dumps."""

from __future__ import annotations

import re
from ipaddress import ip_address

import pytest

from kinspect.kubeproxy import names
from tests.clusters import DATA


def test_a_service_chain_is_named_by_the_hash_of_its_service_port() -> None:
    assert names.service_chain(names.SERVICE, "default/test-service", "tcp") == "KUBE-SVC-AEJ565DT7YN2S3PD"


def test_a_service_port_without_a_name_has_no_colon() -> None:
    assert names.service_port_name("default", "web", "") == "default/web"
    assert names.service_port_name("default", "web", "http") == "default/web:http"


@pytest.mark.parametrize("cluster", ["story-1-both-nodes", "zoo-nft", "zoo-legacy"])
@pytest.mark.parametrize("file", ["iptables-save.txt", "ip6tables-save.txt"])
def test_every_recorded_endpoint_chain_has_the_name_that_is_computed(cluster: str, file: str) -> None:
    text = (DATA / cluster / "nodes" / "node1" / file).read_text()
    found = re.findall(
        r'-A (KUBE-SEP-\w+) -p (\w+) -m comment --comment "?([^ "]+)"? .*-j DNAT --to-destination (\S+):(\d+)',
        text,
    )
    for chain, protocol, service_port, address, port in found:
        made = names.endpoint_chain(service_port, protocol, ip_address(address.strip("[]")), int(port))
        assert made == chain
    assert found or file.startswith("ip6")
