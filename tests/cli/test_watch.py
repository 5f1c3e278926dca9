"""``kinspect watch`` against nodes over a real sshd and the API's recorded answers, live."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys

import pytest
import yaml

from kinspect.report.formats import formats_of
from tests.cli.run import Ran, kinspect
from tests.cli.test_capture import STORY, Cluster, cluster

__all__ = ["cluster"]  # the fixture

pytestmark = pytest.mark.ssh

A, B = "10.42.19.2:80", "10.42.20.2:80"


def counting(cluster: Cluster, name: str, a: int, b: int) -> None:
    """From its next reading on a node's rules have counted so many more connections at each reading."""
    node = cluster.nodes[name]
    text = (STORY / "nodes" / name / "iptables-save.txt").read_text()
    for to, gain in ((A, a), (B, b)):
        text = re.sub(rf"^\[\d+:\d+\] (-A .*--to-destination {to})$", rf"[@{gain}@:0] \1", text, flags=re.M)
    (node.root / "template").write_text(text)
    (node.root / "n").write_text("0")
    script = f"""n=$(($(cat {node.root}/n) + 1)); echo $n > {node.root}/n
exec sed -e "s/@{a}@/$((n * {a}))/" -e "s/@{b}@/$((n * {b}))/" {node.root}/template"""
    node.tool("iptables-nft-save", script)


def watch(cluster: Cluster, *argv: str) -> Ran:
    return kinspect("watch", "default/test-service", "--interval", "1s", *cluster.words, *argv)


def test_what_each_node_sends_to_each_endpoint_beside_its_share(cluster: Cluster) -> None:
    counting(cluster, "node1", 60, 40)
    counting(cluster, "node2", 50, 50)
    ran = watch(cluster, "--for", "6s", "-o", "json")
    assert ran.code == 0, ran.err
    found = ran.documents
    assert [each["reading"] for each in found] == [1, 2, 3, 4, 5, 6]
    last = {(c["node"], c["to"]): c for c in found[-1]["counters"]}
    times = last["node1", A]["connections"] // 60
    assert times >= 2
    assert (last["node1", A]["connections"], last["node1", B]["connections"]) == (60 * times, 40 * times)
    assert {last["node1", to]["bounds"][0] for to in (A, B)} == {0.5}
    assert last["node2", A]["judgement"] == "chance"
    assert (last["node1", A]["judgement"] == "more-than-chance") == (last["node1", A]["pValue"] * 4 < 0.001)
    assert last["node1", A]["perSecond"] > last["node1", B]["perSecond"] > 0


def test_one_session_a_node_brings_all_readings(cluster: Cluster) -> None:
    counting(cluster, "node1", 1, 1)
    assert watch(cluster, "--node", "node1", "--for", "4s", "-o", "json").code == 0
    log = (cluster.nodes["node1"].root / "sshd.log").read_text()
    assert log.count("Accepted publickey") == 2, "one to read the node, one that is kept"


def test_lines_in_a_pipe_and_a_summary_at_the_end(cluster: Cluster) -> None:
    counting(cluster, "node1", 9, 1)
    ran = watch(cluster, "--node", "node1", "--for", "5s", "-o", "wide")
    lines = ran.out.splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\dT\S+Z  \S+; node1: ", line) for line in lines[:5])
    assert re.search(rf"{A} \d+\.\d/s 90\.0% of 1/2 p=\S+", lines[4])
    assert lines[5].startswith("default/test-service: new connections in 5 s")
    assert "P-VALUE" in lines[6]


def test_an_interrupt_leaves_a_summary(cluster: Cluster) -> None:
    counting(cluster, "node1", 2, 3)
    argv = ["default/test-service", "--node", "node1", "--interval", "1s"]
    process = cluster.process(*argv, command="watch")
    assert process.stdout is not None
    assert process.stdout.readline()  # the first reading
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "default/test-service: new connections in" in rest.decode()
    assert b"Traceback" not in err


def test_a_node_that_goes_away_is_marked_and_the_others_go_on(cluster: Cluster) -> None:
    counting(cluster, "node1", 5, 5)
    counting(cluster, "node2", 5, 5)
    # It answers twice: when it is looked at, and once more.
    node = cluster.nodes["node2"]
    script = (node.tools / "iptables-nft-save").read_text()
    (node.tools / "iptables-nft-save").write_text(
        script.replace(
            "exec sed", "[ $n -lt 3 ] || kill $(ps -o ppid= -p $PPID); [ $n -lt 3 ] || exit 1\nexec sed"
        )
    )
    node.tool("iptables-legacy-save", "exit 0")
    ran = watch(cluster, "--for", "6s", "-o", "json")
    assert ran.code == 3, ran.err
    nodes = {each["node"]: each for each in ran.documents[-1]["nodes"]}
    assert nodes["node1"]["condition"] == "counted"
    assert nodes["node2"]["condition"] == "gone"
    assert nodes["node2"]["why"]


def test_rules_that_change_are_looked_at_anew(cluster: Cluster) -> None:
    node = cluster.nodes["node1"]
    one = (STORY.parent / "flows-3-pod-left/nodes/node1/iptables-save.txt").read_text()
    (node.root / "later").write_text(one)
    (node.root / "n").write_text("0")
    node.tool(
        "iptables-nft-save",
        f"""n=$(($(cat {node.root}/n) + 1)); echo $n > {node.root}/n
[ $n -lt 4 ] && exec cat {STORY}/nodes/node1/iptables-save.txt
exec cat {node.root}/later""",
    )
    ran = watch(cluster, "--node", "node1", "--for", "8s", "-o", "json")
    found = ran.documents
    assert found[-1]["nodes"][0]["rewrites"] == 1, ran.err
    assert "rewritten" in {each["nodes"][0]["condition"] for each in found}
    assert {c["to"] for c in found[0]["counters"]} == {A, B}
    assert {c["to"] for c in found[-1]["counters"]} != {A, B}


def test_every_format(cluster: Cluster) -> None:
    for form in formats_of("Reading"):
        ran = watch(cluster, "--node", "node1", "--for", "1s", "-o", form)
        assert ran.code == 0, ran.err
        assert "test-service" in ran.out
    ran = watch(cluster, "--node", "node1", "--for", "2s", "-o", "yaml")
    assert [each["reading"] for each in yaml.safe_load_all(ran.out)] == [1, 2]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("svc/test-service", "--snapshot", str(STORY)), "watch needs a live cluster"),
        (("10.42.19.2:80", "--demo"), "cannot watch"),
        (("svc/x", "--interval", "0s", "--kubeconfig", "/nowhere"), "--interval"),
        (("svc/x", "--for", "1s", "--kubeconfig", "/nowhere"), "--for is shorter"),
    ],
)
def test_a_wrong_call_gets_one_clear_line(argv: tuple[str, ...], says: str) -> None:
    ran = kinspect("watch", *argv)
    assert ran.code == 2
    assert says in ran.err
    assert len(ran.err.splitlines()) == 1


def test_on_a_terminal_the_table_stays_in_place_and_the_summary_remains(cluster: Cluster) -> None:
    counting(cluster, "node1", 2, 3)
    ours, theirs = pty.openpty()
    argv = [
        "-m",
        "kinspect",
        "watch",
        "default/test-service",
        "--node",
        "node1",
        "--interval",
        "1s",
        "--for",
        "3s",
    ]
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        [sys.executable, *argv, *cluster.words], stdout=theirs, stderr=subprocess.DEVNULL, env=env
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert shown.count(b"new connections in") >= 4, "three readings and the summary"
    assert b"\x1b[1A" in shown, "each takes the place of the one before"
    left = shown.rpartition(b"\x1b[2K")[2]  # behind the last line that was taken away
    assert left.count(b"default/test-service: new connections in 3 s") == 1
