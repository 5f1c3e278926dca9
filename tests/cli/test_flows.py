"""``kinspect flows``: held to connections that real sockets had (tests/data/flows-*, truth.json)."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from kinspect.parse.node.conntrack import cut_mark
from tests.cli.run import kinspect
from tests.clusters import DATA

STATES = sorted(DATA.glob("flows-*"))
GONE = DATA / "flows-3-pod-left"
NUMBER = {
    "pod1": "10.42.19.2",
    "pod2": "10.42.20.2",
    "test-server-1": "10.42.19.2",
    "test-server-2": "10.42.20.2",
}


def truth(state: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((state / "truth.json").read_text())
    return found


@pytest.mark.parametrize("state", STATES, ids=lambda path: path.name)
def test_every_connection_that_a_socket_has_is_listed_once_with_the_pod_that_answers(state: Path) -> None:
    ran = kinspect("flows", "--snapshot", str(state), "-o", "json")
    assert (ran.code, ran.err) == (0, "")
    said = {(f["protocol"], f["src"], f["sport"], f["dst"], f["dport"]): f for f in ran.json["flows"]}
    assert len(said) == len(ran.json["flows"])
    for held in truth(state):
        key = (held["protocol"], held["src"], held["sport"], held["dst"], held["dport"])
        if held["protocol"] == "udp" and key not in said:
            continue  # not tracked any more
        found = said.pop(key)
        answers = held["pod"] if held["protocol"] == "tcp" else held["answered_by"]
        if held["alive"] and answers:
            assert found["to"].rpartition(":")[0] == NUMBER[answers]
            assert found["endpoint"]["pod"] in ("test-server-1", "test-server-2")
            assert found["service"] == {"namespace": "default", "name": "chat", "port": held["protocol"]}
            assert found["node"] == (
                "node1"
                if held["dst"] in ("192.168.0.11",) or held["src"].startswith("10.42.19.")
                else "node2"
            )
    assert not [f for f in said.values() if f["state"] == "ESTABLISHED"]


def test_connections_to_a_pod_that_left_the_service_are_stale() -> None:
    ran = kinspect("flows", "--snapshot", str(GONE), "--stale", "--fail", "-o", "json")
    alive = [t for t in truth(GONE) if t["alive"] and t["protocol"] == "tcp" and t["pod"] == "test-server-2"]
    assert ran.code == ran.json["exitCode"] == 1
    assert {f["stale"] for f in ran.json["flows"]} == {"endpoint-gone"}
    assert len(ran.json["flows"]) == len(alive) > 0


@pytest.mark.parametrize("name", ["node1", "node2"])
def test_what_ends_on_a_node_and_what_only_entered_there_part(name: str) -> None:
    to = kinspect("flows", "--snapshot", str(GONE), "--to", f"node/{name}", "-o", "json").json["flows"]
    through = kinspect("flows", "--snapshot", str(GONE), "--through", f"node/{name}", "-o", "json").json[
        "flows"
    ]
    assert {f["endpoint"]["node"] for f in to} == {name}
    assert {f["node"] for f in through} == {name}
    assert name not in {f["endpoint"]["node"] for f in through}
    assert to
    assert through


def test_a_pod_an_address_and_all_drained_nodes_can_be_asked_about() -> None:
    pod = kinspect("flows", "--snapshot", str(GONE), "--to", "pod/default/test-server-2", "-o", "json").json[
        "flows"
    ]
    address = kinspect("flows", "--snapshot", str(GONE), "--to", "10.42.20.2", "-o", "json").json["flows"]
    drained = kinspect("flows", "--snapshot", str(GONE), "--to", "drained", "-o", "json").json["flows"]
    assert pod == address == drained != []


def test_services_narrow_and_one_that_is_not_there_is_an_error() -> None:
    tcp = kinspect("flows", "svc/chat:tcp", "--snapshot", str(GONE), "-o", "json").json
    assert {f["protocol"] for f in tcp["flows"]} == {"tcp"}
    assert kinspect("flows", "svc/chat:9", "--snapshot", str(GONE)).code == 2
    assert kinspect("flows", "svc/chta", "--snapshot", str(GONE)).code == 2
    assert kinspect("flows", "-n", "kube-system", "--snapshot", str(GONE), "-o", "json").json["flows"] == []


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--through", "pod/x"], "cannot read --through 'pod/x'"),
        (["--through", "node9"], "there is no node node9"),
        (["--to", "drained", "--to", "node/node1"], "--to drained excludes other --to"),
        (["-n", "a", "-A"], "exclude each other"),
    ],
)
def test_a_call_that_is_wrong_is_one_line(argv: list[str], said: str) -> None:
    ran = kinspect("flows", "--snapshot", str(GONE), *argv)
    assert (ran.code, ran.out, said in ran.err) == (2, "", True)


def test_the_table_counts_and_wide_lists() -> None:
    short = kinspect("flows", "--snapshot", str(GONE), columns=160).out
    assert re.search(
        r"26 +10\.42\.20\.2:7000, pod default/test-server-2 on node2 +26 ESTABLISHED +14 node1, 12 node2 +\? +26 endpoint gone",
        short,
    )
    wide = kinspect("flows", "--snapshot", str(GONE), "-o", "wide", columns=250).out
    assert len(re.findall(r"^ +node[12] ", wide, re.M)) == len(
        kinspect("flows", "--snapshot", str(GONE), "-o", "json").json["flows"]
    )


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A copy to be changed."""
    return Path(shutil.copytree(GONE, tmp_path / "state"))


def test_a_node_without_a_table_is_not_known(state: Path) -> None:
    (state / "nodes/node2/conntrack.txt").unlink()
    ran = kinspect("flows", "--snapshot", str(state), "-o", "json")
    assert (ran.code, ran.json["exitCode"], ran.json["nodes"]) == (3, 3, ["node1"])
    assert "node2: " in ran.err
    assert "does not have its connections (conntrack.txt)" in ran.err
    assert kinspect("flows", "--snapshot", str(state), "--node", "node1").code == 0


def test_a_table_that_was_cut_is_not_known(state: Path) -> None:
    with (state / "nodes/node2/conntrack.txt").open("a") as file:
        file.write(cut_mark(66) + "\n")
    ran = kinspect("flows", "--snapshot", str(state))
    assert ran.code == 3
    assert "node2: its connection tracking table was cut: 66 entries" in ran.err


def test_a_node_that_counts_more_than_was_recorded_was_cut(state: Path) -> None:
    with (state / "nodes/node2/sysctl.txt").open("a") as file:
        file.write("net.netfilter.nf_conntrack_count = 9000\n")
    ran = kinspect("flows", "--snapshot", str(state))
    assert (ran.code, "it counted 9,000" in ran.err) == (3, True)


def test_a_damaged_line_is_told_and_the_rest_is_answered(state: Path) -> None:
    with (state / "nodes/node2/conntrack.txt").open("a") as file:
        file.write("tcp 6 99 ESTAB\x1b[31mLISHED src=\n")
    ran = kinspect("flows", "--snapshot", str(state))
    assert ran.code == 0
    assert "a line cannot be read: node2/conntrack.txt:67: " in ran.err
    assert "\x1b" not in ran.err + ran.out


def test_something_else_in_place_of_a_table_is_not_an_empty_one(state: Path) -> None:
    (state / "nodes/node2/conntrack.txt").write_text("sudo: a password is required\n")
    ran = kinspect("flows", "--snapshot", str(state))
    assert (ran.code, "node2: its connections cannot be read" in ran.err) == (3, True)


def test_rules_that_would_not_send_it_there_make_it_stale(state: Path) -> None:
    """The endpoint is listed, and not ready: no new connection goes there."""
    slices = json.loads((state / "api/endpointslices.json").read_text())
    first = next(item for item in slices["items"] if item["metadata"]["name"].startswith("chat"))
    (pod1,) = first["endpoints"]
    pod2 = {
        **pod1,
        "addresses": ["10.42.20.2"],
        "nodeName": "node2",
        "conditions": {"ready": False, "serving": False, "terminating": False},
    }
    first["endpoints"].append(pod2)
    (state / "api/endpointslices.json").write_text(json.dumps(slices))
    found = kinspect("flows", "--snapshot", str(state), "--stale", "-o", "json").json["flows"]
    assert {(f["stale"], f["to"]) for f in found} == {("not-by-rules", "10.42.20.2:7000")}


def test_dumps_by_hand_have_no_connections() -> None:
    ran = kinspect("flows", "--rules", str(GONE / "nodes/node1/iptables-save.txt"))
    assert (ran.code, "has no connections" in ran.err) == (2, True)
