"""``trace --ctstate established`` of a service: connection tracking decides, and is asked."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from fractions import Fraction
from pathlib import Path

from tests.cli.run import Ran, kinspect
from tests.clusters import DATA

GONE = DATA / "flows-3-pod-left"


def trace(snapshot: Path, *argv: str) -> Ran:
    return kinspect(
        "trace", "svc/chat:tcp", "--ctstate", "established", "--snapshot", str(snapshot), "-o", "json", *argv
    )


def held(pod_by_entry: str) -> Counter[str]:
    """Where the sockets' connections go, by the node that they entered at."""
    truth = json.loads((GONE / "truth.json").read_text())
    return Counter(
        t["pod"] for t in truth if t["alive"] and t["protocol"] == "tcp" and t["dst"] == pod_by_entry
    )


def test_connections_that_exist_go_where_the_sockets_say_though_no_rule_sends_there() -> None:
    ran = trace(GONE)
    assert (ran.code, len(ran.json["traces"])) == (0, 2)
    for found, entry in zip(ran.json["traces"], ("192.168.0.11", "192.168.0.12"), strict=True):
        pods = held(entry)
        shares = {o["endpoint"]["pod"]: Fraction(o["probability"]) for o in found["outcomes"]}
        assert shares == {pod: Fraction(number, sum(pods.values())) for pod, number in pods.items()}
        assert {o["to"] for o in found["outcomes"]} == {"10.42.19.2:7000", "10.42.20.2:7000"}
        assert found["packet"]["dst"] == entry


def test_a_new_connection_goes_elsewhere() -> None:
    new = kinspect("trace", "svc/chat:tcp", "--snapshot", str(GONE), "-o", "json").json
    assert {o["to"] for t in new["traces"] for o in t["outcomes"]} == {"10.42.19.2:7000"}


def test_entry_nodes_count_by_their_connections() -> None:
    ends = {d["node"]: d["share"] for d in trace(GONE).json["destinations"]}
    pods = held("192.168.0.11") + held("192.168.0.12")
    assert abs(ends["node2"] - pods["test-server-2"] / sum(pods.values())) < 1e-9


def test_a_sender_narrows_it_to_what_that_one_opened() -> None:
    ran = trace(GONE, "--from", "pod/default/test-server-1")
    (found,) = ran.json["traces"]
    truth = json.loads((GONE / "truth.json").read_text())
    own = [t for t in truth if t["alive"] and t["protocol"] == "tcp" and t["src"] == "10.42.19.2"]
    assert f"connection tracking has {len(own)} connections" in " ".join(found["notes"])
    assert (found["node"], found["via"], found["packet"]["src"]) == ("node1", "clusterip", "10.42.19.2")


def test_without_a_table_what_decides_is_not_known(tmp_path: Path) -> None:
    state = Path(shutil.copytree(GONE, tmp_path / "state"))
    (state / "nodes/node2/conntrack.txt").unlink()
    ran = trace(state)
    assert (ran.code, [t["node"] for t in ran.json["traces"]]) == (3, ["node1"])
    assert "node2: connection tracking decides where connections go" in ran.err


def test_a_node_without_connections_is_told(tmp_path: Path) -> None:
    state = Path(shutil.copytree(GONE, tmp_path / "state"))
    (state / "nodes/node2/conntrack.txt").write_text("")
    ran = trace(state)
    assert (ran.code, [t["node"] for t in ran.json["traces"]]) == (0, ["node1"])
    assert "node2: no connection to 192.168.0.12:30375 is tracked there" in ran.err
