"""``kinspect check`` as CI runs it: on recorded clusters, and on ones with one thing changed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.checks.altered import Altered, named_otherwise, no_node, of_daemon_set
from tests.cli.run import Ran, kinspect
from tests.clusters import DATA

BOTH, CORDONED, LOCAL, STALE = (
    "story-1-both-nodes",
    "story-4-node2-cordoned",
    "story-5-local-policy",
    "story-6-node1-stale",
)
LEFT = "story-3-pod-relabelled"
TO_NODE2 = ("no-traffic", "--to", "node/node2")


def checked(snapshot: object, *argv: str, **how: Any) -> Ran:
    path = str(DATA / snapshot) if isinstance(snapshot, str) else str(snapshot)
    return kinspect("check", *argv, "--snapshot", path, **how)


def findings(snapshot: object, *argv: str) -> list[Any]:
    ran = checked(snapshot, *argv, "-o", "json")
    return [finding for assertion in ran.json["assertions"] for finding in assertion["findings"]]


def entries(found: list[Any]) -> set[tuple[str, str, str]]:
    return {(finding["via"], finding["from"], finding["node"]) for finding in found}


# The stories.

VERDICTS = [
    # story, no-traffic --to node/node2, drained, in-sync
    (BOTH, 1, 0, 0),
    ("story-2-node-relabelled", 1, 0, 0),
    (LEFT, 0, 0, 0),
    (CORDONED, 1, 1, 0),
    (LOCAL, 1, 1, 0),
    (STALE, 1, 1, 1),
]


@pytest.mark.parametrize(("story", "no_traffic", "drained", "in_sync"), VERDICTS)
def test_each_story_has_its_verdicts(story: str, no_traffic: int, drained: int, in_sync: int) -> None:
    assert checked(story, *TO_NODE2).code == no_traffic
    assert checked(story, "drained").code == drained
    assert checked(story, "in-sync").code == in_sync


@pytest.mark.parametrize("story", [BOTH, "story-2-node-relabelled", LEFT])
def test_without_a_drained_node_it_passes_and_says_so(story: str) -> None:
    ran = checked(story, "drained")
    assert ran.out == "PASSED  drained: no node is drained, so there is nothing to check\n"
    assert "no node is drained" in ran.err


def test_under_policy_cluster_every_way_in_reaches_the_node() -> None:
    assert entries(findings(BOTH, *TO_NODE2)) == {
        ("nodeport", "outside", "node1"), ("nodeport", "outside", "node2"),
        ("nodeport", "pod", "node1"), ("nodeport", "pod", "node2"),
        ("nodeport", "process", "node1"), ("nodeport", "process", "node2"),
        ("clusterip", "pod", "node1"), ("clusterip", "pod", "node2"),
        ("clusterip", "process", "node1"), ("clusterip", "process", "node2"),
    }  # fmt: skip


def test_under_policy_local_what_enters_at_node2_and_cluster_ip_traffic_reach_it() -> None:
    found = findings(LOCAL, *TO_NODE2)
    assert ("nodeport", "outside", "node2") in entries(found)
    assert ("nodeport", "outside", "node1") not in entries(found)
    assert {("clusterip", "pod", "node1"), ("clusterip", "process", "node2")} <= entries(found)


def test_a_rule_on_one_stale_node_only_is_found() -> None:
    found = findings(STALE, *TO_NODE2)
    assert {finding["node"] for finding in found} == {"node1"}
    assert ("clusterip", "pod", "node1") in entries(found)
    assert ("nodeport", "outside", "node1") not in entries(found)  # as observed.json counted
    assert {finding["what"] for finding in found} == {"unlisted"}
    (rule,) = {(f["rule"]["source"], f["rule"]["line"], f["rule"]["chain"]) for f in found}
    assert rule == ("node1/iptables-save.txt", 71, "KUBE-SEP-EXI76XK2HL6M2NII")
    text = (DATA / STALE / "nodes" / "node1" / "iptables-save.txt").read_text().splitlines()[rule[1] - 1]
    assert text.endswith(found[0]["rule"]["rule"])


def test_a_stale_nodes_share_is_exact_and_its_rules_differ_from_the_api() -> None:
    found = findings(STALE, "in-sync")
    assert {(f["code"], f["to"], f["probability"]) for f in found} == {("Unexpected", "10.42.20.2:80", "1/2")}


@pytest.mark.parametrize("zoo", ["zoo-nft", "zoo-legacy"])
def test_every_kind_of_service_is_in_sync_where_kube_proxy_is(zoo: str) -> None:
    ran = checked(zoo, "in-sync")
    assert (ran.code, ran.err) == (0, "")
    assert (
        ran.out
        == "PASSED  in-sync: holds for new connections to 22 services, by the rules of node1 and node2\n"
    )


@pytest.mark.parametrize(
    "cluster",
    sorted(p.parent.name for p in DATA.glob("*/observed.json") if p.parent.name != "split-backends"),
)
@pytest.mark.parametrize("node", ["node1", "node2"])
def test_what_is_found_is_what_the_kernel_did_to_real_connections(cluster: str, node: str) -> None:
    """Each entry that was measured is found exactly where a rule counted connections to the node."""
    nodes = {
        "node1": ("10.42.19.", "192.168.0.11:", "[fd00:42:19:"),
        "node2": ("10.42.20.", "192.168.0.12:", "[fd00:42:20:"),
    }
    ran = checked(cluster, "no-traffic", "--to", f"node/{node}", "-o", "json")
    found = {
        (f["service"]["namespace"] + "/" + f["service"]["name"], f["via"], f["from"], f["node"], f["frontend"], f["port"]["protocol"])
        for f in ran.json["assertions"][0]["findings"]
    }  # fmt: skip
    measured = 0
    for row in json.loads((DATA / cluster / "observed.json").read_text()):
        sent = [h for h in row["hits"] if "--to-destination" in h["rule"] and h["hits"]]
        if not row["hits"] or any("recent" in h["rule"] for h in row["hits"]):
            continue
        if (row["service"], row["via"]) == ("shop/web", "loadBalancer"):
            continue  # measured from without its source ranges, checked from within
        measured += 1
        reached = any(h["rule"].split("--to-destination ")[1].startswith(nodes[node]) for h in sent)
        front = f"[{row['dst']}]" if ":" in row["dst"] else row["dst"]
        sources = "outside" if row["from"] == "client" else "pod"
        key = (
            row["service"],
            row["via"].lower(),
            sources,
            row["node"],
            f"{front}:{row['dport']}",
            row["protocol"],
        )
        assert (key in found) is reached, (key, row["hits"])
    assert measured


# What is said to people.


def test_the_verdict_comes_first_and_what_to_do_last() -> None:
    lines = checked(CORDONED, "drained").out.splitlines()
    assert lines[0] == "FAILED  drained (node2): does not hold for 1 of 2 services"
    assert "1/2 goes to 10.42.20.2:80, pod default/test-server-2 on node2" in lines[3]
    text = " ".join(" ".join(lines).split())
    assert "node1/iptables-save.txt:68, node2/iptables-save.txt:68" in text
    assert "Take the pods out of the service's endpoints" in text
    assert "Cordoning a node, or changing a node's labels, changes nothing" in text
    assert "externalTrafficPolicy: Local keeps away traffic that enters from outside at other nodes" in text


def test_a_stale_node_is_a_matter_of_its_kube_proxy() -> None:
    out = " ".join(checked(STALE, "drained").out.split())
    assert "The rules of node1 differ from the API" in out
    assert "Take the pods out" not in out


@pytest.mark.parametrize("columns", [80, 140])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    out = checked("zoo-nft", *TO_NODE2, columns=columns).out
    assert max(map(len, out.splitlines())) <= columns
    assert "more of" in out  # a screen or two, not all of it
    assert len(checked("zoo-nft", *TO_NODE2, "-o", "wide").out) > len(out)


# Which services.


@pytest.mark.parametrize(
    ("argv", "services"),
    [
        pytest.param(("svc/web", "-n", "shop"), {"shop/web"}, id="a name in the namespace"),
        pytest.param(("shop/web", "shop/live"), {"shop/web", "shop/live"}, id="several"),
        pytest.param(("shop/li*",), {"shop/live", "shop/live-local", "shop/live-one-local"}, id="a pattern"),
        pytest.param(("-n", "default"), {"default/test-service"}, id="a namespace"),
        pytest.param(("--ignore", "shop/*"), {"default/test-service"}, id="all but"),
    ],
)
def test_services_are_narrowed(argv: tuple[str, ...], services: set[str]) -> None:
    found = findings("zoo-nft", *TO_NODE2, *argv)
    assert {"/".join(f["service"].values()) for f in found} == services


def test_a_port_narrows_too() -> None:
    found = findings("zoo-nft", *TO_NODE2, "shop/web:https")
    assert {f["port"]["name"] for f in found} == {"https"}


def test_families_and_nodes_are_narrowed() -> None:
    assert {f["family"] for f in findings("zoo-nft", *TO_NODE2, "shop/dual")} == {4, 6}
    assert {f["family"] for f in findings("zoo-nft", *TO_NODE2, "shop/dual", "-6")} == {6}
    assert {f["node"] for f in findings("zoo-nft", *TO_NODE2, "--node", "node1")} == {"node1"}


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        pytest.param((), "nothing to check", id="no assertion"),
        pytest.param(("no-traffic",), "no-traffic needs --to", id="no aim"),
        pytest.param(("drained", "--to", "node/node2"), "--to belongs to no-traffic", id="an aim too many"),
        pytest.param(("no-traffic", "--to", "node/node3"), "there is no node node3 (there are: node1, node2)", id="no such node"),
        pytest.param(("no-traffic", "--to", "pod/default/gone"), "there is no pod default/gone", id="no such pod"),
        pytest.param(("no-traffic", "--to", "svc/web"), "cannot read --to 'svc/web'", id="no such kind"),
        pytest.param(("drained", "svc/nope"), "there is no service default/nope", id="no such service"),
        pytest.param(("drained", "svc/test-service:81"), "has no port 81", id="no such port"),
        pytest.param(("drained", "-n", "nowhere"), "there is no service in namespace nowhere", id="an empty namespace"),
        pytest.param(("drained", "-n", "default", "-A"), "-n and -A exclude each other", id="both"),
        pytest.param(("sometimes",), "sometimes", id="no such assertion"),
    ],
)  # fmt: skip
def test_a_slip_is_a_wrong_call_and_never_a_pass(argv: tuple[str, ...], says: str) -> None:
    ran = checked(BOTH, *argv)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1


def test_dumps_without_an_api_have_no_services_to_check() -> None:
    file = DATA / BOTH / "nodes" / "node1" / "iptables-save.txt"
    ran = kinspect("check", "drained", "--rules", str(file))
    assert ran.code == 2
    assert "--rules alone has no services" in ran.err


def test_headless_services_are_said_to_have_no_rules() -> None:
    ran = checked("zoo-nft", *TO_NODE2, "shop/headless")
    assert ran.code == 3
    assert "nothing was checked" in ran.out
    assert "shop/headless: nodes have no rules for it" in ran.err


def test_a_pattern_that_is_of_no_service_is_a_wrong_call() -> None:
    ran = checked(BOTH, *TO_NODE2, "nowhere/*")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == "kinspect: no service is nowhere/* (kubectl get services -A lists them)\n"


def test_a_scope_that_holds_nothing_is_no_pass() -> None:
    ran = checked(BOTH, *TO_NODE2, "--ignore", "default/*", "--ignore", "default/other")
    assert ran.code == 3
    assert "nothing was checked" in ran.out
    assert "--ignore default/other matches no service" in ran.err


def test_a_service_that_only_rules_have_can_be_named(tmp_path: Path) -> None:
    altered = Altered(BOTH, tmp_path)
    altered.objects("services", named_otherwise("test-service"))
    altered.objects("endpointslices", named_otherwise("test-service"))
    ran = checked(altered, *TO_NODE2, "default/test-service")
    assert ran.code == 1
    assert "for a service that the API does not have" in " ".join(ran.out.split())


def test_an_excluded_node_is_not_judged_and_not_missed(tmp_path: Path) -> None:
    altered = Altered(BOTH, tmp_path).without("nodes/node2")
    assert checked(altered, "in-sync").code == 3
    ran = checked(altered, "in-sync", "--exclude-node", "node2")
    assert ran.code == 0
    assert "by the rules of node1" in ran.out
    assert (checked(BOTH, "in-sync", "--exclude-node", "node9").code) == 2
    assert (checked(BOTH, "in-sync", "--exclude-node", "node2", "--node", "node2").code) == 2
    assert (checked(BOTH, "in-sync", "--exclude-node", "node1", "--exclude-node", "node2").code) == 2


def test_without_a_drained_node_there_is_nothing_to_check_whatever_could_not_be_read(tmp_path: Path) -> None:
    ran = checked(Altered(BOTH, tmp_path).without("nodes/node2"), "drained")
    assert ran.code == 0
    assert ran.out == "PASSED  drained: no node is drained, so there is nothing to check\n"
    assert "node2: none of its rules were read" in ran.err


def captured(altered: Altered, **manifest: object) -> Altered:
    text = json.dumps({"kind": "Capture", "format": 1, **manifest})
    (altered.path / "manifest.json").write_text(text)
    return altered


def test_what_changed_while_it_was_read_is_not_judged(tmp_path: Path) -> None:
    altered = Altered("story-6-node1-stale", tmp_path)
    assert checked(altered, "in-sync").code == 1
    captured(altered, changed=["default/test-service", "other/service"])
    ran = checked(altered, "in-sync", "default/test-service")
    assert ran.code == 3
    assert "depends on: the endpoints of default/test-service changed while this was read" in ran.out
    assert "other/service" not in ran.err


def test_changes_of_several_services_are_one_line(tmp_path: Path) -> None:
    altered = captured(Altered(BOTH, tmp_path), changed=["default/test-service", "default/kubernetes"])
    lines = checked(altered, "in-sync").err.splitlines()
    assert [line for line in lines if "changed while" in line] == [
        f"kinspect: services default/kubernetes, default/test-service: their endpoints changed while {altered} was read"
    ]


@pytest.mark.parametrize("manifest", [{"services": ["default/kubernetes"]}, {"namespace": "shop"}])
def test_a_narrowed_capture_does_not_say_that_other_services_are_gone(
    tmp_path: Path, manifest: dict[str, object]
) -> None:
    altered = captured(Altered(BOTH, tmp_path), **manifest)
    altered.objects("services", named_otherwise("test-service"))
    assert checked(altered, "in-sync").code == 0
    assert kinspect("audit", "--snapshot", str(altered)).code == 0


def test_pods_that_may_not_be_listed_leave_what_needs_no_pods(tmp_path: Path) -> None:
    altered = Altered(BOTH, tmp_path).without("api/pods.json")
    ran = checked(altered, *TO_NODE2)
    assert ran.code == 1
    assert "pods were not read, so DaemonSet pods could not be excluded" in ran.err
    ran = checked(altered, "no-traffic", "--to", "pod/default/test-server-2")
    assert ran.code == 3
    assert "give its address in place of its name" in ran.err


# Aims.


@pytest.mark.parametrize("aim", ["pod/default/test-server-2", "pod/test-server-2", "10.42.20.2"])
def test_a_pod_and_an_address_are_aims_too(aim: str) -> None:
    found = findings(BOTH, "no-traffic", "--to", aim)
    assert {f["to"] for f in found} == {"10.42.20.2:80"}
    assert len(found) == 10


def test_an_endpoint_on_the_nodes_own_address_belongs_to_that_node() -> None:
    assert {f["to"] for f in findings("zoo-nft", *TO_NODE2, "shop/hostnet")} == {"192.168.0.12:9443"}


def test_an_endpoint_without_a_node_is_placed_by_the_nodes_address(tmp_path: Path) -> None:
    altered = Altered("zoo-nft", tmp_path).each("endpointslices", "hostnet", no_node)
    assert {f["to"] for f in findings(altered, *TO_NODE2, "shop/hostnet")} == {"192.168.0.12:9443"}


def test_a_taint_is_a_cordon_too(tmp_path: Path) -> None:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    altered = Altered(BOTH, tmp_path).each("nodes", "node2", lambda n: n["spec"].update(taints=[taint]))
    assert checked(altered, "drained").code == 1


def test_clients_that_source_ranges_let_in_count(tmp_path: Path) -> None:
    found = [f for f in findings("zoo-nft", *TO_NODE2, "shop/web") if f["via"] == "loadbalancer"]
    assert {(f["from"], f["client"]) for f in found} == {
        ("outside", "198.51.100.128"),
        ("outside", "192.0.2.64"),
    }
    # Without the rules of both ranges nobody gets in by that way.
    altered = Altered("zoo-nft", tmp_path)
    for node in ("node1", "node2"):
        altered.rules(node, "-s 198.51.100.0/24 -m comment", "-s 198.18.0.0/15 -m comment")
    one = [f for f in findings(altered, *TO_NODE2, "shop/web") if f["via"] == "loadbalancer"]
    assert len(one) == len(found) / 2


# DaemonSets and terminating endpoints.


def test_pods_of_daemon_sets_are_told_apart_and_do_not_fail(tmp_path: Path) -> None:
    altered = Altered(CORDONED, tmp_path).each("pods", "test-server-2", of_daemon_set)
    ran = checked(altered, "drained")
    assert ran.code == 0
    assert ran.out.startswith(
        "PASSED  drained (node2): holds for new connections to 2 services, 1 of them excused"
    )
    assert "of a DaemonSet" in ran.out
    assert {(f["what"], f["standing"]) for f in findings(altered, "drained")} == {("daemonset", "excused")}
    assert checked(altered, "drained", "--include-daemonsets").code == 1
    # Who names the pod means it.
    assert checked(altered, "no-traffic", "--to", "pod/default/test-server-2").code == 1


def test_pods_that_were_not_read_count_like_others(tmp_path: Path) -> None:
    altered = Altered(CORDONED, tmp_path).without("api/pods.json")
    ran = checked(altered, "drained")
    assert ran.code == 1
    assert "pods were not read" in ran.err


def test_terminating_endpoints_are_reported_as_that_where_no_others_are_left() -> None:
    leaving = [f for f in findings("zoo-nft", *TO_NODE2, "shop/leaving") if f["what"]]
    assert {(f["what"], f["standing"]) for f in leaving} == {("terminating", "violated")}
    ran = checked("zoo-nft", *TO_NODE2, "shop/leaving")
    assert ran.code == 1
    assert "Kubernetes sends to those on purpose" in " ".join(ran.out.split())
    allowed = checked("zoo-nft", *TO_NODE2, "shop/leaving", "--allow-terminating")
    assert allowed.code == 0


def test_a_terminating_endpoint_beside_ready_ones_is_a_violation(tmp_path: Path) -> None:
    def one_terminates(slice_: Any) -> None:
        for endpoint in slice_["endpoints"]:
            if endpoint["nodeName"] == "node2":
                endpoint["conditions"] = {"ready": False, "serving": True, "terminating": True}

    altered = Altered(BOTH, tmp_path).each("endpointslices", "test-service", one_terminates)
    found = findings(altered, *TO_NODE2, "--allow-terminating")
    assert {(f["what"], f["standing"]) for f in found} == {("endpoint", "violated")}


# What is not known is never a pass.

DNAT_OF_NODE1 = '-A KUBE-SEP-XLOX56DDI4SSI72R -p tcp -m comment --comment "default/test-service" -m tcp -j DNAT --to-destination 10.42.19.2:80'


def test_a_share_that_may_exist_is_undetermined(tmp_path: Path) -> None:
    maybe = (
        "-A KUBE-SEP-XLOX56DDI4SSI72R -p tcp -m time --timestart 01:00:00 --timestop 02:00:00 -j DNAT"
        " --to-destination 10.42.20.2:80\n"
    )
    altered = Altered(LEFT, tmp_path).rules("node1", DNAT_OF_NODE1, maybe + DNAT_OF_NODE1)
    ran = checked(altered, *TO_NODE2)
    assert ran.code == 3
    assert ran.out.startswith("UNDETERMINED")
    assert "depends on: " in ran.out
    assert {(f["standing"], tuple(f["bounds"])) for f in findings(altered, *TO_NODE2)} == {
        ("undetermined", (0.0, 1.0))
    }
    assert checked(altered, "in-sync").code == 3


def test_what_may_exist_does_not_hide_what_does(tmp_path: Path) -> None:
    maybe = "-A KUBE-SEP-XLOX56DDI4SSI72R -p tcp -m time --timestart 01:00:00 --timestop 02:00:00 -j DNAT --to-destination 10.42.20.2:80\n"
    altered = Altered(STALE, tmp_path).rules("node2", DNAT_OF_NODE1, maybe + DNAT_OF_NODE1)
    assert checked(altered, *TO_NODE2).code == 1


def test_a_program_that_decides_is_undetermined(tmp_path: Path) -> None:
    altered = Altered(LEFT, tmp_path).rules(
        "node1", "-A FORWARD ", "-A FORWARD -j NFQUEUE --queue-num 1\n-A FORWARD "
    )
    ran = checked(altered, *TO_NODE2)
    assert ran.code == 3
    assert "NFQUEUE" in ran.out


@pytest.mark.parametrize("target", ["-j WEIRD --to-destination 10.42.20.2", "-j KTLS"])
def test_a_target_that_nobody_knows_may_do_anything(target: str, tmp_path: Path) -> None:
    altered = Altered(LEFT, tmp_path).rules(
        "node1", DNAT_OF_NODE1, f"-A KUBE-SEP-XLOX56DDI4SSI72R {target}\n{DNAT_OF_NODE1}"
    )
    ran = checked(altered, *TO_NODE2)
    assert ran.code == 3, ran.out
    if "--" in target:
        assert {f["code"] for f in findings(altered, *TO_NODE2)} == {"Unmodelled"}
    else:  # not even a target: the dump may be damaged
        assert "KTLS is neither a chain of table nat nor a target" in ran.err


@pytest.mark.parametrize("path", ["nodes/node2", "nodes/node2/iptables-save.txt"])
def test_a_node_that_was_not_read_makes_3(path: str, tmp_path: Path) -> None:
    altered = Altered(LEFT, tmp_path).without(path)
    ran = checked(altered, *TO_NODE2)
    assert ran.code == 3
    assert ran.err.startswith("kinspect: node2")
    assert checked(altered, *TO_NODE2, "--node", "node1").code == 0


def test_a_node_that_was_not_read_beside_a_violation_makes_1(tmp_path: Path) -> None:
    assert checked(Altered(BOTH, tmp_path).without("nodes/node2"), *TO_NODE2).code == 1


def test_a_node_whose_rules_are_no_text_makes_3(tmp_path: Path) -> None:
    altered = Altered(LEFT, tmp_path)
    (altered.path / "nodes/node2/iptables-save.txt").write_bytes(b"\x1f\x8b garbage")
    assert checked(altered, *TO_NODE2).code == 3


@pytest.mark.parametrize("kind", ["nodes", "endpointslices"])
def test_an_api_that_was_read_in_part_makes_3(kind: str, tmp_path: Path) -> None:
    altered = Altered(LEFT, tmp_path).without(f"api/{kind}.json")
    if kind == "endpointslices":
        altered.without("api/endpoints.json")
    ran = checked(
        altered, "drained" if kind == "nodes" else TO_NODE2[0], *(() if kind == "nodes" else TO_NODE2[1:])
    )
    assert ran.code == 3
    assert kind in ran.err


def test_kube_proxy_in_another_mode_makes_3() -> None:
    ran = checked("mode-nftables", "in-sync")
    assert ran.code == 3
    assert len(ran.err.splitlines()) == 2


def test_two_back_ends_in_doubt_make_3() -> None:
    assert checked("split-backends", "in-sync").code == 3


def test_a_stale_address_of_a_pod_that_is_gone_is_placed_by_the_nodes_pod_network(tmp_path: Path) -> None:
    altered = Altered(STALE, tmp_path)
    altered.objects("pods", lambda pods: pods.clear())
    assert checked(altered, *TO_NODE2).code == 1


def test_an_address_that_nobody_places_is_undetermined(tmp_path: Path) -> None:
    def elsewhere(nodes: list[Any]) -> None:
        for node in nodes:
            node["spec"].pop("podCIDR")
            node["spec"].pop("podCIDRs")

    altered = Altered(STALE, tmp_path).objects("nodes", elsewhere).each(
        "pods", "test-server-2", lambda pod: pod["status"].update(podIP="10.42.20.9", podIPs=[])
    )  # fmt: skip
    assert checked(altered, *TO_NODE2).code == 1, "the nodes' routes tell"
    for node in ("node1", "node2"):
        altered.written(node, "ip-route.json", "[]")
    ran = checked(altered, *TO_NODE2)
    assert ran.code == 3
    assert "the data does not show which node that is on" in ran.out


def test_an_address_of_one_nodes_own_interface_is_on_that_node(tmp_path: Path) -> None:
    bridge = DNAT_OF_NODE1.replace("10.42.19.2:80", "10.42.20.1:80")
    altered = Altered(LEFT, tmp_path).rules("node1", DNAT_OF_NODE1, bridge)
    altered.objects("nodes", lambda nodes: [node["spec"].clear() for node in nodes])
    assert checked(altered, *TO_NODE2).code == 1


def test_endpoints_out_of_the_cluster_are_on_no_node(tmp_path: Path) -> None:
    def outside(slice_: Any) -> None:
        for endpoint in slice_["endpoints"]:
            endpoint.pop("nodeName")
            endpoint.pop("targetRef")
            endpoint["addresses"] = ["198.18.0.7"]

    altered = Altered(LEFT, tmp_path).each("endpointslices", "test-service", outside)
    for node in ("node1", "node2"):
        altered.rules(node, "DNAT --to-destination 10.42.19.2:80", "DNAT --to-destination 198.18.0.7:80")
    assert checked(altered, *TO_NODE2).code == 0


def test_pod_networks_that_a_pod_contradicts_place_nothing(tmp_path: Path) -> None:
    altered = Altered(STALE, tmp_path)
    altered.each("pods", "test-server-2", lambda pod: pod["status"].update(podIP="10.42.19.77", podIPs=[]))
    assert checked(altered, *TO_NODE2).code == 3


# in-sync.


def test_shares_may_be_off_by_what_the_kernel_rounds_and_no_more(tmp_path: Path) -> None:
    for probability, code in (("0.50000000047", 0), ("0.50000001", 1), ("0.4", 1)):
        altered = Altered(BOTH, tmp_path / probability)
        altered.rules("node1", "--probability 0.50000000000", f"--probability {probability}")
        assert checked(altered, "in-sync").code == code, probability


def test_an_endpoint_that_gets_nothing_is_found(tmp_path: Path) -> None:
    altered = Altered(BOTH, tmp_path).rules("node2", "10.42.20.2:80\n", "10.42.20.3:80\n")
    assert Counter(f["code"] for f in findings(altered, "in-sync")) == {"Unexpected": 5, "Unserved": 5}


def test_refusal_of_what_has_endpoints_is_found(tmp_path: Path) -> None:
    altered = Altered(BOTH, tmp_path).rules(
        "node2", "-A FORWARD ", "-A FORWARD -p tcp -m conntrack --ctstate DNAT -j DROP\n-A FORWARD "
    )
    found = findings(altered, "in-sync")
    assert {f["code"] for f in found} >= {"Refused"}
    assert {f["node"] for f in found} == {"node2"}


def test_a_way_in_that_a_node_does_not_know_is_found(tmp_path: Path) -> None:
    altered = Altered(BOTH, tmp_path).rules("node1", "-d 10.43.174.31/32 -p tcp", "-d 10.43.174.32/32 -p tcp")
    found = findings(altered, "in-sync")
    # And the address that its rules have in its place is no service's.
    assert {(f["code"], f["via"], f["node"]) for f in found} == {
        ("Unhandled", "clusterip", "node1"),
        ("Unexpected", "clusterip", "node1"),
    }


def test_topology_hints_allow_the_hinted_endpoints_and_no_others(tmp_path: Path) -> None:
    def hinted(slice_: Any) -> None:
        for endpoint in slice_["endpoints"]:
            endpoint["hints"] = {"forZones": [{"name": endpoint["nodeName"]}]}

    def zoned(nodes: list[Any]) -> None:
        for node in nodes:
            node["metadata"]["labels"]["topology.kubernetes.io/zone"] = node["metadata"]["name"]

    def altered(name: str, to: str) -> Altered:
        """node1 sends all to one of the two, its own or the other's."""
        made = Altered(BOTH, tmp_path / name).objects("nodes", zoned)
        made.each("endpointslices", "test-service", hinted)
        for own in ("10.42.19.2:80\n", "10.42.20.2:80\n"):
            made.rules("node1", f"DNAT --to-destination {own}", f"DNAT --to-destination {to}\n")
        return made

    everyone = Altered(BOTH, tmp_path / "all").objects("nodes", zoned)
    assert checked(everyone.each("endpointslices", "test-service", hinted), "in-sync").code == 0
    assert checked(altered("own", "10.42.19.2:80"), "in-sync").code == 0
    assert checked(altered("other", "10.42.20.2:80"), "in-sync").code == 1


def test_a_service_of_another_proxy_is_not_kube_proxys(tmp_path: Path) -> None:
    label = {"service.kubernetes.io/service-proxy-name": "other"}
    altered = Altered(STALE, tmp_path).each(
        "services", "test-service", lambda s: s["metadata"].update(labels=label)
    )
    assert checked(altered, "in-sync").code == 0


# Documents.


def test_the_document_is_versioned_and_says_how_the_process_ends() -> None:
    for story, argv, verdict, code in (
        (CORDONED, ("drained",), "violated", 1),
        (LEFT, TO_NODE2, "holds", 0),
        ("mode-nftables", ("in-sync",), "undetermined", 3),
    ):
        ran = checked(story, *argv, "-o", "json")
        document = ran.json
        assert (document["apiVersion"], document["kind"]) == ("kinspect/v1", "Check")
        assert (document["verdict"], document["exitCode"], ran.code) == (verdict, code, code)
        assert document["assertions"][0]["verdict"] == verdict


def test_yaml_says_the_same() -> None:
    import yaml

    ran = checked(CORDONED, "drained", "-o", "yaml")
    assert yaml.safe_load(ran.out) == checked(CORDONED, "drained", "-o", "json").json


def test_help_fits_a_narrow_terminal() -> None:
    ran = kinspect("check", "--help", columns=80)
    assert ran.code == 0
    assert "no-traffic" in ran.out
