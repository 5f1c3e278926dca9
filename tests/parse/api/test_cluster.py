"""The API's lists: services, endpoints, pods, nodes; what is missing, old, or not a list at all."""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

import pytest

from kinspect.errors import NotFound, SnapshotError
from kinspect.parse.api.cluster import Cluster
from tests.clusters import api


def cluster(**kinds: list[Any]) -> Cluster:
    return Cluster(
        {f"{kind}.json": json.dumps({"items": items}).encode() for kind, items in kinds.items()}, "a test"
    )


def meta(name: str, namespace: str = "default", **fields: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, **fields}


SLICE = {
    "metadata": meta("web-1", labels={"kubernetes.io/service-name": "web"}),
    "ports": [{"name": "http", "port": 80, "protocol": "TCP"}, {"port": None}],
    "endpoints": [
        {"addresses": ["10.0.0.1"], "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "a"}},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": None}, "targetRef": {"kind": "VM", "name": "v"}},
    ],
}


def test_endpoints_have_their_state_pod_and_node() -> None:
    first, second, third = cluster(endpointslices=[SLICE]).endpoints(("default", "web"))
    assert (str(first.address), first.port, first.node, first.pod) == ("10.0.0.1", 80, "n1", ("default", "a"))
    assert (first.ready, first.serving, first.terminating) == (True, True, False)
    assert (second.ready, second.serving, second.terminating) == (False, True, True)
    assert third.ready, "an unknown condition is to be taken as ready (EndpointSlice API)"
    assert third.pod is None


def test_old_endpoints_are_used_where_there_are_no_slices() -> None:
    old = {
        "metadata": meta("web"),
        "subsets": [
            {
                "addresses": [{"ip": "10.0.0.1", "nodeName": "n1", "targetRef": {"kind": "Pod", "name": "a", "namespace": "x"}}],
                "notReadyAddresses": [{"ip": "10.0.0.2"}],
                "ports": [{"port": 80}],
            }
        ],
    }  # fmt: skip
    found = cluster(endpoints=[old]).endpoints(("default", "web"))
    assert [(str(e.address), e.ready, e.node, e.pod) for e in found] == [
        ("10.0.0.1", True, "n1", ("x", "a")),
        ("10.0.0.2", False, None, None),
    ]
    assert (
        cluster(endpoints=[old], endpointslices=[SLICE]).endpoints(("default", "web"))[0].port_name == "http"
    )


def test_nulls_are_as_good_as_nothing() -> None:
    empty = {
        "metadata": meta("web", labels=None),
        "spec": {"ports": None, "clusterIPs": None, "externalIPs": None, "selector": None},
        "status": {"loadBalancer": {"ingress": None}},
    }
    service = cluster(services=[empty]).service("default", "web")
    assert (service.ports, service.cluster_ips, service.load_balancer_ips, service.selector) == (
        (),
        (),
        (),
        {},
    )
    assert cluster(endpointslices=[{**SLICE, "endpoints": None}]).endpoints(("default", "web")) == ()
    assert Cluster({"services.json": b'{"items": null}'}, "a test").service_names() == []


def test_a_load_balancer_by_name_is_no_address() -> None:
    item = {
        "metadata": meta("web"),
        "spec": {"type": "LoadBalancer", "clusterIP": "10.43.0.9"},
        "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example"}, {"ip": "203.0.113.9"}]}},
    }
    service = cluster(services=[item]).service("default", "web")
    assert service.load_balancer_ips == (ip_address("203.0.113.9"),)
    assert service.cluster_ips == (ip_address("10.43.0.9"),), "an old cluster has clusterIP alone"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not a list of the Kubernetes API"),
        (b"[]", "not a list of the Kubernetes API"),
        (b'{"items": [{"metadata": 3}]}', r"\$.items\[0\].metadata"),
        (b"\xff\xfe", "not a list of the Kubernetes API"),
        (b'{"items": [', "not a list of the Kubernetes API"),
    ],
)
def test_what_is_no_list_names_the_file_and_the_field(data: bytes, says: str) -> None:
    with pytest.raises(SnapshotError, match=says) as caught:
        Cluster({"services.json": data}, "here").service_names()
    assert "here: api/services.json" in str(caught.value)


@pytest.mark.parametrize(
    ("namespace", "name", "hint"),
    [
        ("default", "test-servise", "default/test-service"),
        ("shop", "test-service", "default/test-service"),
        ("shop", "wbe", "shop/web"),
        ("default", "zzz", "kubectl get services -A"),
    ],
)
def test_near_names_are_suggested(namespace: str, name: str, hint: str) -> None:
    with pytest.raises(NotFound, match=hint):
        api("zoo-nft").service(namespace, name)


def test_addresses_are_found_by_node_pod_and_network() -> None:
    found = api("story-3-pod-relabelled")
    assert found.node_of(ip_address("192.168.0.12")) == "node2"
    assert found.node_of(ip_address("10.42.20.2")) == "node2"
    assert found.node_of(ip_address("10.42.19.200")) == "node1", "by its pods' network"
    assert found.node_of(ip_address("203.0.113.9")) is None
    pod = found.pod_at(ip_address("10.42.20.2"))
    assert pod is not None
    assert pod.name == "test-server-2"


def test_cordoned_nodes_are_known() -> None:
    assert [n.name for n in api("story-4-node2-cordoned").nodes.values() if n.unschedulable] == ["node2"]
    assert not any(n.unschedulable for n in api("story-1-both-nodes").nodes.values())


def test_pods_that_have_ended_hold_no_address() -> None:
    pod = {"metadata": meta("done"), "status": {"phase": "Succeeded", "podIP": "10.0.0.1"}}
    assert cluster(pods=[pod]).pod_at(ip_address("10.0.0.1")) is None
