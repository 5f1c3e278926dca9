"""kube-proxy's settings, as a node's rules show them."""

from __future__ import annotations

import pytest

from kinspect.kubeproxy.settings import Detector, older_form, overridden, settings_of
from kinspect.model.packet import Family
from kinspect.model.rules import Ruleset
from kinspect.parse.rules.dump import read_dump
from tests.clusters import node


def rules(*nat: str, filter_: tuple[str, ...] = (), family: Family = 4) -> Ruleset:
    tables = ("*filter", *filter_, "COMMIT", "*nat", *nat, "COMMIT", "")
    return read_dump("\n".join(tables).encode(), source="node/iptables-save.txt", family=family)


CLUSTER_IP = '-A KUBE-SERVICES -d 10.43.0.7/32 -p tcp -m comment --comment "a/b cluster IP" -m tcp --dport 80 -j KUBE-SVC-X'
LAST = (
    "-A KUBE-SERVICES{} -m comment --comment"
    ' "kubernetes service nodeports; NOTE: this must be the last rule in this chain"{} -j KUBE-NODEPORTS'
)


def masquerading(source: str, interface: str = "") -> str:
    return (
        f'-A KUBE-SVC-X {source}-d 10.43.0.7/32 {interface}-p tcp -m comment --comment "a/b cluster IP"'
        " -m tcp --dport 80 -j KUBE-MARK-MASQ"
    )


@pytest.mark.parametrize("cluster", ["zoo-nft", "zoo-legacy"])
def test_the_settings_of_a_recorded_cluster(cluster: str) -> None:
    (dump,) = node(cluster, "node1").rulesets[4]
    found = settings_of(dump)
    assert (found.mark, found.masquerade_all, found.detector) == (
        0x4000,
        False,
        Detector("-s", "10.42.0.0/16"),
    )
    assert found.node_port_addresses is None
    assert found.localhost_node_ports
    assert found.localhost_counter
    assert found.invalid_counter
    assert found.random_fully
    shown = {each.setting: each for each in found.evidence}
    assert shown["local detector"].value == "-s 10.42.0.0/16"
    assert (shown["local detector"].rule or "").endswith("-j KUBE-MARK-MASQ")


def test_another_mark() -> None:
    assert settings_of(rules("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x2000/0x2000")).mark == 0x2000
    assert settings_of(rules("-A KUBE-MARK-MASQ -j MARK --or-mark 0x800")).mark == 0x800


@pytest.mark.parametrize(
    ("rule", "every", "detector"),
    [
        (masquerading("! -s 10.42.0.0/16 "), False, Detector("-s", "10.42.0.0/16")),
        (masquerading("", "! -i cni0 "), False, Detector("-i", "cni0")),
        (masquerading("", "! -i cali+ "), False, Detector("-i", "cali+")),
        (masquerading(""), True, None),
        ("-A KUBE-SVC-X -j KUBE-SEP-Y", False, None),
    ],
)
def test_what_is_masqueraded(rule: str, every: bool, detector: Detector | None) -> None:
    found = settings_of(rules(CLUSTER_IP, rule))
    assert (found.masquerade_all, found.detector) == (every, detector)


def test_with_masquerade_all_the_detector_shows_in_the_rule_for_pods() -> None:
    pods = '-A KUBE-EXT-X -s 10.42.0.0/16 -m comment --comment "pod traffic for a/b external destinations" -j KUBE-SVC-X'
    port = '-A KUBE-NODEPORTS -p tcp -m comment --comment "a/b" -m tcp --dport 31000 -j KUBE-EXT-X'
    found = settings_of(rules(CLUSTER_IP, masquerading(""), port, pods))
    assert (found.masquerade_all, found.detector, found.detector_known) == (
        True, Detector("-s", "10.42.0.0/16"), True
    )  # fmt: skip


def test_a_detector_that_no_rule_shows_is_not_known() -> None:
    found = settings_of(rules(LAST.format("", " -m addrtype --dst-type LOCAL")))
    assert not found.detector_known
    assert {e.setting: e.value for e in found.evidence}["local detector"] == "not known"


def test_node_port_addresses_and_localhost() -> None:
    everywhere = settings_of(rules(LAST.format("", " -m addrtype --dst-type LOCAL")))
    assert (everywhere.node_port_addresses, everywhere.localhost_node_ports) == (None, True)
    not_here = settings_of(rules(LAST.format(" ! -d 127.0.0.0/8", " -m addrtype --dst-type LOCAL")))
    assert (not_here.node_port_addresses, not_here.localhost_node_ports) == (None, False)
    some = settings_of(rules(LAST.format(" -d 192.168.0.11/32", "")))
    assert (some.node_port_addresses, some.localhost_node_ports) == (("192.168.0.11",), False)
    both = settings_of(rules(LAST.format(" -d 127.0.0.1/32", ""), LAST.format(" -d 192.168.0.11/32", "")))
    assert (both.node_port_addresses, both.localhost_node_ports) == (("127.0.0.1", "192.168.0.11"), True)


def test_what_is_dropped_and_counted() -> None:
    plain = settings_of(rules(filter_=("-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",)))
    assert (plain.invalid_rule, plain.invalid_counter, plain.localhost_counter) == (True, False, False)
    liberal = settings_of(rules())
    assert (liberal.invalid_rule, liberal.invalid_counter) == (False, False)


def test_an_older_release_names_the_service_only_in_comments_on_endpoints() -> None:
    name = '-A KUBE-SVC-X -m comment --comment "a/b" -j KUBE-SEP-Y'
    assert settings_of(rules(CLUSTER_IP, masquerading(""), name)).comments == "name"


@pytest.mark.parametrize(
    "rule",
    [
        '-A KUBE-NODEPORTS -p tcp -m comment --comment "a/b" -m tcp --dport 31000 -j KUBE-XLB-X',
        '-A KUBE-SERVICES ! -s 10.42.0.0/16 -d 10.43.0.7/32 -p tcp -m comment --comment "a/b cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ',
    ],
)
def test_a_release_that_writes_other_rules_is_told(rule: str) -> None:
    assert older_form(rules(rule)) is not None
    assert older_form(rules(CLUSTER_IP)) is None


def test_a_configuration_file_counts_before_the_rules() -> None:
    found = settings_of(rules(CLUSTER_IP, masquerading("! -s 10.42.0.0/16 ")))
    given = overridden(
        found, {"masquerade_all": True, "mark": 0x8, "localhost_node_ports": False}, "config.conf"
    )
    assert (given.masquerade_all, given.mark, given.localnet_rule) == (True, 8, False)
    shown = {each.setting: each for each in given.evidence}
    assert (shown["masqueradeAll"].value, shown["masqueradeAll"].rule) == ("true", "config.conf")
    assert shown["local detector"].rule == masquerading("! -s 10.42.0.0/16 ")
