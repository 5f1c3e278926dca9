"""Where traffic should go by the API, as kube-proxy decides it (pkg/proxy/topology.go)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import msgspec
import pytest

from kinspect.kubeproxy.endpoints import EndpointSet, WayIn, endpoints_of, expected
from kinspect.model.answer import Via
from kinspect.model.check import ServicePattern
from kinspect.model.cluster import Endpoint, Service, ServicePort
from kinspect.model.traffic import SenderClass

WEB = Service(namespace="shop", name="web", type="NodePort", ports=(ServicePort("http", "TCP", 80, 30000),))
ZONES = {"node1": "a", "node2": "b"}


def endpoint(number: int, node: str | None = "node1", **fields: Any) -> Endpoint:
    made = Endpoint(
        service=WEB.key,
        port_name="http",
        protocol="TCP",
        address=ip_address(f"10.42.0.{number}"),
        port=8080,
        node=node,
    )
    return msgspec.structs.replace(made, **fields)


LEAVING: dict[str, Any] = {"ready": False, "serving": True, "terminating": True}
GONE: dict[str, Any] = {"ready": False, "serving": False, "terminating": True}


def answers(
    *endpoints: Endpoint,
    service: Service = WEB,
    via: Via = "nodeport",
    sources: SenderClass = "outside",
    src: str = "203.0.113.1",
    node: str = "node1",
) -> list[tuple[set[int], bool]]:
    """The last numbers of the addresses of each right answer, and whether it is the terminating ones."""
    way = WayIn(
        service=service, via=via, senders=sources, client=ip_address(src), node=node, zone=ZONES.get(node)
    )
    found = expected(way, endpoints_of(endpoints, service.ports[0], 4))
    assert found
    return [({int(address) & 0xFF for address, _ in e.addresses}, e.terminating) for e in found]


LOCAL = replace(WEB, external_policy="Local")
INTERNAL = replace(WEB, internal_policy="Local")
RANGES = replace(WEB, type="LoadBalancer", source_ranges=("198.51.100.0/24", "nonsense"))


@pytest.mark.parametrize(
    ("endpoints", "how", "right"),
    [
        pytest.param([endpoint(1), endpoint(2, "node2")], {}, [({1, 2}, False)], id="all that are ready"),
        pytest.param([endpoint(1), endpoint(2, ready=False)], {}, [({1}, False)], id="not those that are not"),
        pytest.param([endpoint(1), endpoint(2, **LEAVING)], {}, [({1}, False)], id="not the terminating beside ready"),
        pytest.param([endpoint(1, **LEAVING), endpoint(2, **GONE)], {}, [({1}, True)], id="terminating where none is ready"),
        pytest.param([endpoint(1, **GONE)], {}, [(set(), False)], id="nobody serves"),
        pytest.param([], {}, [(set(), False)], id="nobody is there"),
        pytest.param([endpoint(1, port_name="https"), endpoint(2, protocol="UDP")], {}, [(set(), False)], id="another port or protocol"),
        pytest.param([endpoint(1), endpoint(2, "node2")], {"service": LOCAL}, [({1}, False)], id="policy Local keeps to the node"),
        pytest.param([endpoint(2, "node2")], {"service": LOCAL}, [(set(), False)], id="policy Local without one"),
        pytest.param([endpoint(1, **LEAVING), endpoint(2, "node2")], {"service": LOCAL}, [({1}, True)], id="policy Local: its own terminating one before another node's ready one"),
        pytest.param([endpoint(1), endpoint(2, "node2")], {"service": LOCAL, "sources": "process"}, [({1, 2}, False)], id="a node's own traffic is not external"),
        pytest.param([endpoint(1), endpoint(2, "node2")], {"service": LOCAL, "sources": "pod"}, [({1, 2}, False), ({1}, False)], id="nor is a pod's, where pods are known"),
        pytest.param([endpoint(1), endpoint(2, "node2")], {"service": INTERNAL}, [({1, 2}, False)], id="the internal policy is not for NodePorts"),
        pytest.param([endpoint(1), endpoint(2, "node2")], {"service": INTERNAL, "via": "clusterip", "sources": "pod"}, [({1}, False)], id="but for cluster IPs"),
        pytest.param([endpoint(1, None), endpoint(2)], {"service": LOCAL}, [({2}, False)], id="no node is not this node"),
        pytest.param([endpoint(1)], {"service": RANGES, "via": "loadbalancer"}, [(set(), False)], id="a client out of the source ranges"),
        pytest.param([endpoint(1)], {"service": RANGES, "via": "loadbalancer", "src": "198.51.100.9"}, [({1}, False)], id="a client within them"),
        pytest.param([endpoint(1)], {"service": RANGES}, [({1}, False)], id="they are not for NodePorts"),
        pytest.param([endpoint(1, for_zones=("a",)), endpoint(2, for_zones=("b",))], {}, [({1, 2}, False), ({1}, False)], id="hints of zones may narrow"),
        pytest.param([endpoint(1, for_zones=("a",)), endpoint(2)], {}, [({1, 2}, False)], id="not where one has none"),
        pytest.param([endpoint(1, for_zones=("c",)), endpoint(2, for_zones=("c",))], {}, [({1, 2}, False)], id="nor where none is for here"),
        pytest.param([endpoint(1, for_nodes=("node1",)), endpoint(2, for_nodes=("node2",))], {}, [({1, 2}, False), ({1}, False)], id="hints of nodes may narrow"),
    ],
)  # fmt: skip
def test_right_answers(
    endpoints: list[Endpoint], how: dict[str, Any], right: list[tuple[set[int], bool]]
) -> None:
    assert answers(*endpoints, **how) == right


def test_an_answer_has_each_address_once() -> None:
    assert len(EndpointSet((endpoint(1), endpoint(1))).addresses) == 1


@pytest.mark.parametrize(
    ("pattern", "key", "meant"),
    [
        (ServicePattern("shop", "web"), ("shop", "web"), True),
        (ServicePattern("shop", "web"), ("shop", "web2"), False),
        (ServicePattern(None, "web"), ("default", "web"), True),
        (ServicePattern(None, "web"), ("shop", "web"), False),
        (ServicePattern("*", "*"), ("shop", "web"), True),
        (ServicePattern("shop", "w*"), ("shop", "web"), True),
        (ServicePattern("shop", "*b"), ("shop", "web"), True),
        (ServicePattern("shop", "w*b"), ("shop", "web"), True),
        (ServicePattern("shop", "web*web"), ("shop", "web"), False),
        (ServicePattern("shop", "*e*e*"), ("shop", "web"), False),
        (ServicePattern("shop", "w.b"), ("shop", "web"), False),
        (ServicePattern("*" * 5000, "*a" * 2000 + "b"), ("shop", "a" * 60), False),
    ],
)
def test_patterns(pattern: ServicePattern, key: tuple[str, str], meant: bool) -> None:
    assert pattern.matches(key, "default") is meant
