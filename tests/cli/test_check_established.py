"""``kinspect check --established``: connections that exist, held to the sockets that had them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from kinspect.parse.node.conntrack import cut_mark
from tests.cli.run import Ran, kinspect
from tests.clusters import DATA

GONE = DATA / "flows-3-pod-left"  # node2 is cordoned, its pod has left the service, connections stayed
SLICES = "api/endpointslices.json"


def check(snapshot: Path, *argv: str) -> Ran:
    return kinspect("check", *argv, "--snapshot", str(snapshot), columns=160)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(GONE, tmp_path / "state"))


def without(state: Path, pattern: str) -> None:
    """Take entries out of the nodes' tables."""
    for table in state.glob("nodes/*/conntrack.txt"):
        kept = [line for line in table.read_text().splitlines(keepends=True) if not re.search(pattern, line)]
        table.write_text("".join(kept))


def alive(pod: str) -> int:
    truth = json.loads((GONE / "truth.json").read_text())
    return sum(t["alive"] and t["protocol"] == "tcp" and t["pod"] == pod for t in truth)


def found(ran: Ran, code: str) -> list[dict[str, Any]]:
    return [f for f in ran.json["assertions"][0]["findings"] if f["code"] == code]


def test_rules_that_send_nothing_there_pass_and_say_what_is_left_open() -> None:
    ran = check(GONE, "no-traffic", "--to", "node/node2")
    assert ran.code == 0
    assert "holds for new connections to" in ran.out
    assert f"{alive('test-server-2')} connections still end there, and " in ran.err
    assert "(--established counts them)" in ran.err


def test_connections_that_exist_fail_it_and_are_counted_as_the_sockets_are() -> None:
    ran = check(GONE, "no-traffic", "--to", "node/node2", "--established", "-o", "json")
    assert (ran.code, ran.json["verdict"]) == (1, "violated")
    (ends,) = [f for f in found(ran, "StillConnected") if f["to"].endswith(":7000")]
    assert ends["connections"]["count"] == alive("test-server-2")
    assert ends["connections"]["states"] == {"ESTABLISHED": alive("test-server-2")}
    assert ends["connections"]["stale"] == {"endpoint-gone": alive("test-server-2")}
    assert ends["endpoint"]["node"] == "node2"


def test_what_only_came_in_by_a_drained_node_is_cut_with_it_and_told_apart() -> None:
    ran = check(GONE, "drained", "--established", "-o", "json")
    through = kinspect("flows", "--snapshot", str(GONE), "--through", "node/node2", "-o", "json").json[
        "flows"
    ]
    entered = dict.fromkeys(("violated", "excused"), 0)
    for finding in found(ran, "EnteredThere"):
        entered[finding["standing"]] += finding["connections"]["count"]
        assert finding["endpoint"]["node"] != "node2"
    pods = sum(f["client"] is not None and f["client"]["node"] == "node2" for f in through)
    assert entered == {"violated": len(through) - pods, "excused": pods}, "pods' own end with the pods"
    assert pods
    assert len(through) > pods


def test_without_it_the_drained_node_is_named_as_a_way_in() -> None:
    ran = check(GONE, "drained")
    assert (
        "node2 still takes in traffic that balancers send to NodePorts and load-balancer addresses for other nodes' pods: default/chat"
        in ran.err
    )
    assert "node2 without the label node.kubernetes.io/exclude-from-external-load-balancers" in ran.err


def test_the_label_that_takes_a_node_out_of_balancers_is_seen(state: Path) -> None:
    nodes = json.loads((state / "api/nodes.json").read_text())
    for node in nodes["items"]:
        node["metadata"].setdefault("labels", {})[
            "node.kubernetes.io/exclude-from-external-load-balancers"
        ] = ""
    (state / "api/nodes.json").write_text(json.dumps(nodes))
    ran = check(state, "drained")
    assert "as a way in" in ran.err or "still takes in" in ran.err
    assert "without the label" not in ran.err


def test_it_turns_to_a_pass_with_the_last_connection_and_not_before(state: Path) -> None:
    args = ("no-traffic", "--to", "pod/default/test-server-2", "--established")
    assert check(state, *args).code == 1
    last = (state / "nodes/node1/conntrack.txt").read_text()
    line = next(
        line
        for line in last.splitlines()
        if "ESTABLISHED" in line and "src=10.42.20.2 dst=192.168.0.11" in line
    )
    without(state, r"10\.42\.20\.2 ")
    with (state / "nodes/node1/conntrack.txt").open("a") as file:
        file.write(line + "\n")
    assert check(state, *args).code == 1
    without(state, r"10\.42\.20\.2 ")
    ran = check(state, *args)
    assert ran.code == 0
    assert "holds for new and existing connections" in ran.out


def test_connections_that_close_are_none(state: Path) -> None:
    for table in state.glob("nodes/*/conntrack.txt"):
        table.write_text(table.read_text().replace("431999 ESTABLISHED", "119 TIME_WAIT"))
    without(state, r"\budp\b")
    assert check(state, "drained", "--established").code == 0


@pytest.mark.parametrize("fault", ["missing", "cut", "damaged", "something else"])
def test_what_is_not_known_is_never_a_pass(state: Path, fault: str) -> None:
    without(state, "chat|src=")
    table = state / "nodes/node1/conntrack.txt"
    assert check(state, "drained", "--established").code == 0
    if fault == "missing":
        table.unlink()
    else:
        table.write_text(
            {"cut": cut_mark(0), "damaged": "tcp 6 99 ESTABLISHED src=1", "something else": "sudo: no"}[fault]
            + "\n"
        )
    ran = check(state, "drained", "--established")
    assert (ran.code, "UNDETERMINED" in ran.out, "node1" in ran.out) == (3, True, True)
    assert check(state, "drained").code == 0, "new connections alone do not depend on it"
    for form in ("junit", "github"):
        assert check(state, "drained", "--established", "-o", form).code == 3


def test_a_refused_tool_in_a_capture_is_not_an_empty_table(state: Path) -> None:
    without(state, "src=")
    commands = [{"file": "conntrack.txt", "command": "first_lines 65536 conntrack -L", "status": 0,
                 "stderr": "conntrack v1.4.7 (conntrack-tools): Operation failed: sorry, you must be root or get CAP_NET_ADMIN"}]  # fmt: skip
    manifest = {
        "kind": "Capture",
        "format": 1,
        "nodes": {"node1": {"commands": commands}, "node2": {"commands": []}},
    }
    (state / "manifest.json").write_text(json.dumps(manifest))
    ran = check(state, "drained", "--established")
    assert (ran.code, "node1: its connections may not be read" in ran.out) == (3, True)


def test_pods_of_daemonsets_stay_and_their_connections_do_not_count(state: Path) -> None:
    pods = json.loads((state / "api/pods.json").read_text())
    for pod in pods["items"]:
        pod["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "name": "x"}]
    (state / "api/pods.json").write_text(json.dumps(pods))
    ran = check(state, "no-traffic", "--to", "node/node2", "--established", "-o", "json")
    assert {f["standing"] for f in found(ran, "StillConnected")} == {"excused"}
    ran = check(
        state, "no-traffic", "--to", "node/node2", "--established", "--include-daemonsets", "-o", "json"
    )
    assert {f["standing"] for f in found(ran, "StillConnected")} == {"violated"}


def test_an_address_that_nothing_places_is_not_known_to_be_elsewhere(state: Path) -> None:
    for kind in ("nodes", "pods"):
        items = json.loads((state / f"api/{kind}.json").read_text())
        for item in items["items"]:
            if kind == "nodes":
                item["spec"].pop("podCIDR", None), item["spec"].pop("podCIDRs", None)
        if kind == "pods":
            items["items"] = [item for item in items["items"] if item["metadata"]["name"] != "test-server-2"]
        (state / f"api/{kind}.json").write_text(json.dumps(items))
    for routes in state.glob("nodes/*/ip-*route.json"):  # they tell where pod networks are
        routes.unlink()
    for addresses in state.glob("nodes/*/ip-addr.json"):
        addresses.unlink()
    ran = check(state, "drained", "--established", "-o", "json")
    assert [f["to"] for f in found(ran, "ConnectionsUnplaced")]


def test_a_taint_can_mean_drained(state: Path) -> None:
    nodes = json.loads((state / "api/nodes.json").read_text())
    for node in nodes["items"]:
        node["spec"].pop("unschedulable", None)
        node["spec"]["taints"] = (
            [{"key": "maintenance", "effect": "NoSchedule"}] if node["metadata"]["name"] == "node2" else []
        )
    (state / "api/nodes.json").write_text(json.dumps(nodes))
    assert "no node is drained" in check(state, "drained").out
    assert check(state, "drained", "--established", "--drained-taint", "maintenance").code == 1
    for node in nodes["items"]:
        for taint in node["spec"]["taints"]:
            taint["key"] = "ToBeDeletedByClusterAutoscaler"
    (state / "api/nodes.json").write_text(json.dumps(nodes))
    assert check(state, "drained", "--established").code == 1


def test_a_policy_file_can_ask_for_it(tmp_path: Path) -> None:
    policy = tmp_path / "traffic.yaml"
    head = "apiVersion: kinspect/v1\nkind: TrafficPolicy\nassertions:\n"
    for item, code in (("{to: drained}", 0), ("{to: drained, established: true}", 1), ("{to: node/node2, established: true}", 1),
                       ("{to: drained, drainedTaints: [x], established: false}", 0), ("{to: node/node2, drainedTaints: [x]}", 2),
                       ("{to: drained, established: 7}", 2)):  # fmt: skip
        policy.write_text(f"{head}- no-traffic: {item}\n")
        assert check(GONE, "--policy", str(policy)).code == code, item


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["in-sync", "--established"], "belong to drained and no-traffic"),
        (["no-traffic", "--to", "node/node2", "--drained-taint", "x"], "--drained-taint belongs to drained"),
        (["drained", "--wait", "soon"], "cannot read --wait 'soon'"),
        (["drained", "--wait", "10m"], "need a live cluster"),
        (["drained", "--observe", "1h30m"], "need a live cluster"),
    ],
)
def test_a_call_that_is_wrong_is_one_line(argv: list[str], said: str) -> None:
    ran = check(GONE, *argv)
    assert (ran.code, ran.out, said in ran.err) == (2, "", True)
