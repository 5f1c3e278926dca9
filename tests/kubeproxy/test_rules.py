"""The rules that kube-proxy writes: those recorded in real clusters, rule by rule."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from kinspect.kubeproxy.difference import drift
from kinspect.kubeproxy.rules import Here, everything
from kinspect.kubeproxy.settings import Detector, Settings
from kinspect.kubeproxy.usable import Place
from kinspect.model.cluster import Endpoint, Service, ServicePort
from kinspect.model.packet import Family
from kinspect.parse.rules.dump import read_dump
from tests.clusters import node
from tests.kubeproxy.written import written

IN_SYNC = [
    *(f"story-{n}" for n in ("1-both-nodes", "2-node-relabelled", "3-pod-relabelled", "4-node2-cordoned", "5-local-policy")),
    "zoo-legacy",
    "zoo-nft",
    "changes/before",
]  # fmt: skip


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("name", ["node1", "node2"])
@pytest.mark.parametrize("cluster", IN_SYNC)
def test_generated_rules_are_the_recorded_ones(cluster: str, name: str, family: Family) -> None:
    (rules,) = node(cluster, name).rulesets[family]
    assert drift(rules, written(cluster, name, family)) == []


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("cluster", IN_SYNC)
def test_generated_text_is_read_back_as_it_was_written(cluster: str, family: Family) -> None:
    made = written(cluster, "node1", family)
    again = read_dump(made.text().encode(), source="made", family=family)
    assert drift(again, made) == []
    for table in again.tables():
        for name in again.chains(table):
            chain = again.chain(table, name)
            assert chain is not None
            assert [rule.printed() for rule in chain.rules()] == made.table(table)[name]
    assert again.damaged == []


def test_a_node_whose_kube_proxy_died_differs_in_the_chains_of_that_service() -> None:
    (rules,) = node("story-6-node1-stale", "node1").rulesets[4]
    found = {each.chain: each for each in drift(rules, written("story-6-node1-stale", "node1", 4))}
    hashed = "AEJ565DT7YN2S3PD"
    assert set(found) == {
        f"KUBE-EXT-{hashed}", f"KUBE-SVC-{hashed}", f"KUBE-SVL-{hashed}", "KUBE-SEP-EXI76XK2HL6M2NII"
    }  # fmt: skip
    assert found[f"KUBE-SVL-{hashed}"].left_over
    assert all(each.service_port == "default/test-service" for each in found.values())
    assert found[f"KUBE-EXT-{hashed}"].missing == (
        f'-A KUBE-EXT-{hashed} -m comment --comment "masquerade traffic for default/test-service external destinations" -j KUBE-MARK-MASQ',
        f"-A KUBE-EXT-{hashed} -j KUBE-SVC-{hashed}",
    )
    (other,) = node("story-6-node1-stale", "node2").rulesets[4]
    assert drift(other, written("story-6-node1-stale", "node2", 4)) == []


# What no recording has: one service and its rules, by setting and by state.

WEB = Service(
    namespace="shop",
    name="web",
    type="LoadBalancer",
    cluster_ips=(ip_address("10.43.0.7"), ip_address("fd00:43::7")),
    load_balancer_ips=(ip_address("203.0.113.9"),),
    ports=(ServicePort("http", "TCP", 80, 31000),),
)


def endpoint(address: str, at: str, **fields: object) -> Endpoint:
    return Endpoint(
        service=WEB.key, port_name="http", protocol="TCP", address=ip_address(address), port=8080, node=at,
        **fields,  # type: ignore[arg-type]
    )  # fmt: skip


HERE, THERE = endpoint("10.42.1.5", "n1"), endpoint("10.42.2.6", "n2")


def made(
    service: Service = WEB,
    *endpoints: Endpoint,
    large: bool = False,
    addresses: tuple[str, ...] = (),
    zone: str | None = None,
    **settings: object,
) -> str:
    family = settings.pop("family", 4)
    known = Settings(family=family, detector=Detector("-s", "10.42.0.0/16"))  # type: ignore[arg-type]
    known = replace(known, **settings)  # type: ignore[arg-type]
    place = Here(Place("n1", zone), known, large, tuple(map(ip_address, addresses)))
    return everything([(service, endpoints or (HERE, THERE))], place).text()


def changed(**fields: object) -> Service:
    return replace(WEB, **fields)  # type: ignore[arg-type]


def test_masquerade_all_marks_whatever_comes_to_the_cluster_ip() -> None:
    lines = made(masquerade_all=True).splitlines()
    (mark,) = [line for line in lines if "cluster IP" in line and line.endswith("KUBE-MARK-MASQ")]
    assert " -d 10.43.0.7/32 -p tcp " in mark
    assert "! -s" not in mark


def test_an_interface_detector_stands_where_iptables_prints_interfaces() -> None:
    text = made(changed(external_policy="Local"), detector=Detector("-i", "cni+"))
    assert " -d 10.43.0.7/32 ! -i cni+ -p tcp -m comment" in text
    assert ' -i cni+ -m comment --comment "pod traffic for shop/web:http external destinations"' in text


def test_without_a_detector_nothing_is_told_from_pods() -> None:
    text = made(changed(external_policy="Local"), detector=None)
    assert "pod traffic for" not in text
    assert not [
        line for line in text.splitlines() if "cluster IP" in line and line.endswith("KUBE-MARK-MASQ")
    ]


def test_node_port_addresses_end_the_chain_one_by_one() -> None:
    lines = made(node_port_addresses=("192.168.0.11", "10.0.0.1")).splitlines()
    services = [line for line in lines if line.startswith("-A KUBE-SERVICES")]
    assert [line.split()[3] for line in services[-2:]] == ["192.168.0.11/32", "10.0.0.1/32"]
    assert "addrtype --dst-type LOCAL" not in "".join(services)


def test_localhost_is_left_out_where_it_serves_no_node_ports() -> None:
    text = made(localhost_node_ports=False, localhost_counter=False, localnet_rule=False)
    assert "-A KUBE-SERVICES ! -d 127.0.0.0/8 -m comment" in text
    assert "localhost_nps" not in text
    assert "KUBE-FIREWALL" not in text
    assert "-A KUBE-SERVICES ! -d ::1/128 -m comment" in made(
        WEB, endpoint("fd00::5", "n1"), family=6, localhost_node_ports=False
    )


def test_a_large_cluster_has_no_comments_on_endpoints() -> None:
    text = made(large=True)
    assert " -> " not in text
    assert '"shop/web:http cluster IP"' in text


def test_a_node_that_has_the_balancers_range_for_its_own_lets_the_balancers_address_in() -> None:
    ranges = changed(source_ranges=("192.168.0.0/24", "2001:db8::/32"))
    without = [line for line in made(ranges).splitlines() if line.startswith("-A KUBE-FW")]
    assert [line.split()[2] for line in without] == ["-s", "-m"]
    own = [
        line
        for line in made(ranges, addresses=("192.168.0.11",)).splitlines()
        if line.startswith("-A KUBE-FW")
    ]
    assert [line.split()[3] for line in own[:2]] == ["192.168.0.0/24", "203.0.113.9/32"]


def test_a_range_of_all_addresses_is_printed_without_source() -> None:
    text = made(changed(source_ranges=("0.0.0.0/0",)))
    (rule, _) = [line for line in text.splitlines() if line.startswith("-A KUBE-FW-")]
    assert rule.split(" ", 2)[2].startswith(
        '-m comment --comment "shop/web:http loadbalancer IP" -j KUBE-EXT-'
    )


@pytest.mark.parametrize(
    ("endpoints", "verdict", "comment"),
    [
        ((endpoint("10.42.1.5", "n1", ready=False, serving=False),), "REJECT", "has no endpoints"),
        ((THERE,), "DROP", "has no local endpoints"),
    ],
)
def test_local_policy_refuses_or_drops_what_has_no_endpoint(
    endpoints: tuple[Endpoint, ...], verdict: str, comment: str
) -> None:
    text = made(changed(external_policy="Local", internal_policy="Local"), *endpoints)
    tables = text.split("*nat")[0]
    assert f'-A KUBE-SERVICES -d 10.43.0.7/32 -p tcp -m comment --comment "shop/web:http {comment}"' in tables
    for front in ("-d 203.0.113.9/32 -p tcp", "-p tcp"):
        assert f'-A KUBE-EXTERNAL-SERVICES {front} -m comment --comment "shop/web:http {comment}"' in tables
    assert tables.count(f"-j {verdict}") == 3 + (verdict == "DROP") * 2  # with INVALID's and localnet's


def test_a_health_check_port_is_opened_under_policy_local_only() -> None:
    local = changed(external_policy="Local", health_check_node_port=32000)
    assert '"shop/web:http health check node port" -m tcp --dport 32000 -j ACCEPT' in made(local)
    assert "health check" not in made(changed(health_check_node_port=32000))


def test_a_ready_copy_of_an_endpoint_wins_over_a_terminating_one() -> None:
    leaving = endpoint("10.42.1.5", "n1", ready=False, terminating=True)
    assert made(WEB, leaving, HERE, THERE) == made(WEB, HERE, THERE)


def test_services_that_are_not_kube_proxys_are_not_written() -> None:
    for service in (changed(headless=True), changed(type="ExternalName"), changed(other_proxy=True)):
        assert "shop/web" not in made(service)
    six = changed(cluster_ips=(ip_address("fd00:43::7"),))
    assert "shop/web" not in made(six)


def test_hints_of_nodes_count_before_those_of_zones() -> None:
    near = endpoint("10.42.1.5", "n1", for_nodes=("n1",), for_zones=("a",))
    same_zone = endpoint("10.42.3.7", "n3", for_nodes=("n3",), for_zones=("a",))
    far = endpoint("10.42.2.6", "n2", for_nodes=("n2",), for_zones=("b",))
    assert made(WEB, near, same_zone, far, zone="a").count("DNAT --to") == 1
    zones = [endpoint(str(e.address), str(e.node), for_zones=e.for_zones) for e in (near, same_zone, far)]
    assert made(WEB, *zones, zone="a").count("DNAT --to") == 2
    assert made(WEB, *zones, zone=None).count("DNAT --to") == 3
    unhinted = endpoint("10.42.4.8", "n4")
    assert made(WEB, *zones, unhinted, zone="a").count("DNAT --to") == 4
