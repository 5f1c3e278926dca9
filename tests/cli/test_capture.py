"""``kinspect capture`` at the command line: a live cluster kept in a file, and what can go wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from kinspect.snapshot.store import open_snapshot
from tests.cli.run import Ran, kinspect
from tests.clusters import DATA
from tests.collect.replay import TOKEN, Fault, ReplayServer
from tests.collect.sshd import Sshd, sshd
from tests.needs import isolated
from tests.wait import until

STORY = DATA / "story-1-both-nodes"
ROOT = Path(__file__).parents[2]


class Cluster:
    """The story's API and nodes, live, and the words that lead to them."""

    def __init__(self, api: ReplayServer, nodes: dict[str, Sshd], words: list[str]) -> None:
        self.api, self.nodes, self.words = api, nodes, words

    def capture(self, path: Path, *argv: str) -> Ran:
        return kinspect("capture", "-f", str(path), *self.words, *argv)

    def process(self, *argv: str, command: str = "capture", **settings: Any) -> subprocess.Popen[bytes]:
        """A command as a process of its own."""
        words = [sys.executable, "-m", "kinspect", *command.split(), *self.words, *argv]
        return subprocess.Popen(
            words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            **settings,
        )  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    # Each node's switches are those of a network namespace of its own, where forwarding is on.
    own = {
        "ForceCommand": f"{isolated('net')} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward;"
        ' echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; exec sh -c "$SSH_ORIGINAL_COMMAND"\''
    }
    with ExitStack() as stack:
        nodes = {}
        config = ["Host *", "  GlobalKnownHostsFile /dev/null", "  IdentitiesOnly yes"]
        for name in ("node1", "node2"):
            node = nodes[name] = stack.enter_context(sshd(tmp_path / name, own))
            node.recorded(STORY / "nodes" / name)
            node.tool("conntrack", f"cat {STORY}/nodes/{name}/conntrack.txt")
            node.tool("iptables", "echo 'iptables v1.8.9 (nf_tables)'")
            config += [f"Host {name}.corp.example", "  HostName 127.0.0.1", f"  Port {node.port}",
                       f"  IdentityFile {node.key}", f"  UserKnownHostsFile {node.known_hosts}"]  # fmt: skip
        (tmp_path / "config").write_text("\n".join(config) + "\n")
        wrapped = tmp_path / "bin"
        wrapped.mkdir()
        # ssh takes the home folder from the user database, not from HOME.
        (wrapped / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/config "$@"\n')
        (wrapped / "ssh").chmod(0o755)
        monkeypatch.setenv("PATH", f"{wrapped}:/usr/bin:/bin:/usr/sbin")
        api = stack.enter_context(ReplayServer(STORY, tmp_path))
        words = [
            "--kubeconfig",
            str(api.kubeconfig),
            "--ssh-target",
            "{name}.corp.example",
            "--timeout",
            "20",
        ]
        yield Cluster(api, nodes, words)


def manifest(path: Path) -> Any:
    with tarfile.open(path) as archive:
        member = next(m for m in archive if m.name.endswith("/manifest.json"))
        file = archive.extractfile(member)
        assert file is not None
        return json.load(file)


def traced(*argv: str) -> Any:
    ran = kinspect("trace", "default/test-service", "--via", "all", "-o", "json", *argv)
    assert ran.code == 0, ran.err
    return ran.json


def test_a_capture_traces_as_the_cluster_it_is_of(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    ran = cluster.capture(path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{path} · 2 nodes · 2 services · ")
    from_capture, recorded = traced("--snapshot", str(path)), traced("--snapshot", str(STORY))
    assert from_capture["traces"] == recorded["traces"]
    assert from_capture["destinations"] == recorded["destinations"]
    assert from_capture["traces"]


def test_files_and_lists_are_as_they_came(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    cluster.capture(path)
    kept, recorded = open_snapshot(path), open_snapshot(STORY)
    for name, files in recorded.nodes.items():
        for file in ("iptables-save.txt", "ip6tables-save.txt", "ip-addr.json", "conntrack.txt"):
            assert kept.nodes[name][file] == files[file]
    for kind in ("services", "endpointslices", "nodes", "namespaces"):
        assert (
            json.loads(kept.api[f"{kind}.json"])["items"] == json.loads(recorded.api[f"{kind}.json"])["items"]
        )


def test_the_manifest_says_what_was_read_when_and_by_which_command(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    cluster.nodes["node1"].tool("ipset", "echo 'ipset: no such module' >&2; exit 1")
    cluster.capture(path)
    found = manifest(path)
    assert (found["kind"], found["format"], found["complete"]) == ("Capture", 1, True)
    assert found["server"].startswith("v")
    assert found["started"] < found["finished"]
    assert found["api"]["services"] == {"resourceVersion": "4711", "items": 2}
    node = found["nodes"]["node1"]
    assert (node["transport"], node["target"]) == ("ssh", "node1.corp.example")
    assert found["started"] <= node["started"] <= node["finished"] <= found["finished"]
    assert node["versions"] == {"iptables": "iptables v1.8.9 (nf_tables)"}
    commands = {command["file"]: command for command in node["commands"]}
    assert commands["ip-addr.json"] == {
        "file": "ip-addr.json",
        "command": "ip -d -j addr show",
        "status": 0,
        "stderr": "",
    }
    assert commands["ipset-save.txt"]["status"] == 1
    assert commands["ipset-save.txt"]["stderr"] == "ipset: no such module"
    assert commands["iptables-nft-save.txt"]["command"].endswith("iptables-nft-save -c")


def test_no_secret_is_asked_for_or_kept(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    cluster.capture(path)
    assert not any("secret" in request for request in cluster.api.paths)
    with tarfile.open(path) as archive:
        whole = b"".join(file.read() for m in archive if (file := archive.extractfile(m)))
    assert TOKEN.encode() not in whole
    pods = json.loads(open_snapshot(path).api["pods.json"])["items"]
    assert pods
    kept = {key for pod in pods for container in pod["spec"]["containers"] for key in container}
    assert kept == {"name", "ports"}, "an env may hold a secret"
    assert not any("volumes" in pod["spec"] for pod in pods)
    assert not any("annotations" in pod["metadata"] for pod in pods)


def test_a_node_that_fails_is_in_the_manifest_and_said_by_trace(cluster: Cluster, tmp_path: Path) -> None:
    (cluster.nodes["node2"].root / "authorized").write_text("")
    path = tmp_path / "incident.tar.gz"
    ran = cluster.capture(path)
    assert ran.code == 3
    assert ran.err.startswith("kinspect: node2: permission denied")
    assert " · 1 of 2 nodes · " in ran.out
    assert manifest(path)["nodes"]["node2"]["error"].startswith("permission denied")
    ran = kinspect("trace", "default/test-service", "--snapshot", str(path))
    assert ran.code == 3
    assert "kinspect: node2: permission denied" in ran.err


def test_a_list_that_fails_does_not_spoil_the_rest(cluster: Cluster, tmp_path: Path) -> None:
    cluster.api.faults.append(Fault(403, kind="pods"))
    path = tmp_path / "incident.tar.gz"
    ran = cluster.capture(path)
    assert ran.code == 3
    assert 'kinspect: pods: user "jane" may not list pods' in ran.err
    assert set(open_snapshot(path).nodes) == {"node1", "node2"}
    ran = kinspect("trace", "default/test-service", "--snapshot", str(path))
    assert ran.code == 0, "no trace of a service needs pods"
    assert "pods: not in" in ran.err


def test_without_nodes_there_is_nothing_to_keep(cluster: Cluster, tmp_path: Path) -> None:
    cluster.api.faults.append(Fault(403, kind="nodes"))
    path = tmp_path / "incident.tar.gz"
    ran = cluster.capture(path)
    assert (ran.code, ran.out) == (3, "")
    assert len(ran.err.splitlines()) == 1
    assert not path.exists()
    assert not list(tmp_path.glob(".*"))


def test_endpoints_that_change_meanwhile_are_told(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    node = cluster.nodes["node1"]
    node.tool("ipset", f"touch {tmp_path}/reading; sleep 0.7")
    running = cluster.process("-f", str(path))
    until((tmp_path / "reading").exists, running)
    cluster.api.lists["endpointslices"][0]["metadata"]["resourceVersion"] = "4712"
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert b"service default/test-service: its endpoints changed while nodes were read" in err
    assert manifest(path)["changed"] == ["default/test-service"]
    ran = kinspect("trace", "default/test-service", "--snapshot", str(path))
    assert ran.code == 0
    assert "its endpoints changed while" in ran.err


def test_endpoints_that_change_while_nodes_are_read_are_told_live(cluster: Cluster, tmp_path: Path) -> None:
    node = cluster.nodes["node1"]
    node.tool("ipset", f"touch {tmp_path}/reading; sleep 0.7")
    running = cluster.process(command="trace default/test-service")
    until((tmp_path / "reading").exists, running)
    cluster.api.lists["endpointslices"][0]["metadata"]["resourceVersion"] = "4712"
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert b"service default/test-service: its endpoints changed while" in err


@pytest.mark.parametrize("command", ["audit", "check in-sync"])
def test_what_changed_while_nodes_were_read_is_read_once_more(
    cluster: Cluster, tmp_path: Path, command: str
) -> None:
    node = cluster.nodes["node1"]
    node.tool("ipset", f"echo >> {tmp_path}/reading; sleep 0.7")
    running = cluster.process(command=command)
    until((tmp_path / "reading").exists, running)
    cluster.api.lists["endpointslices"][0]["metadata"]["resourceVersion"] = "4712"
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0
    assert b"changed while" not in err
    assert (tmp_path / "reading").read_text() == "\n\n"


def test_without_leave_to_list_pods_check_and_audit_answer_what_needs_none(cluster: Cluster) -> None:
    cluster.api.faults.append(Fault(403, kind="pods"))
    for command in (["audit"], ["check", "in-sync"]):
        ran = kinspect(*command, *cluster.words)
        assert ran.code == 0
        assert "pods: not in" in ran.err
        assert "may not list pods" in ran.err


def test_a_namespace_without_services_is_no_capture(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    ran = cluster.capture(path, "-n", "typo")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no service in namespace typo" in ran.err
    assert not path.exists()


def test_an_interrupt_keeps_what_was_read_and_ends_its_children(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    cluster.nodes["node2"].tool("ipset", f"echo $$ > {tmp_path}/hanging; exec sleep 300")
    running = cluster.process("-f", str(path), "--timeout", "200")
    hanging = tmp_path / "hanging"
    until(lambda: hanging.exists() and hanging.read_text() != "", running)
    time.sleep(1)  # the other node is read meanwhile
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 130, err
    assert b"partial: interrupted" in out
    found = manifest(path)
    assert found["complete"] is False
    assert found["nodes"]["node2"]["error"].startswith("interrupted")
    assert set(open_snapshot(path).nodes) == {"node1"}
    ran = kinspect("trace", "default/test-service", "--snapshot", str(path))
    assert ran.code == 3
    assert "kinspect: node2: interrupted" in ran.err
    assert not list(tmp_path.glob(".*.part"))


def test_an_interrupt_while_the_api_is_read_keeps_the_lists_so_far(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    cluster.api.faults.append(Fault(kind="pods", how="hang"))
    running = cluster.process("-f", str(path))
    until(lambda: "/api/v1/pods" in cluster.api.paths, running)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=30)
    assert running.returncode == 130
    found = manifest(path)
    assert found["complete"] is False
    assert found["api"]["services"]["items"] == 2
    assert found["api"]["pods"] == {"error": "interrupted"}
    ran = kinspect("trace", "default/test-service", "--snapshot", str(path))
    assert ran.code == 3
    assert "kinspect: node1: interrupted" in ran.err
    assert "pods: not in" in ran.err


def test_an_interrupt_before_anything_was_read_leaves_nothing(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    cluster.api.faults.append(Fault(kind="nodes", how="hang"))
    running = cluster.process("-f", str(path))
    until(lambda: "/api/v1/nodes" in cluster.api.paths, running)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=30)
    assert (running.returncode, err) == (130, b"kinspect: interrupted: nothing was written\n")
    assert not path.exists()
    assert not list(tmp_path.glob(".*.part"))


def test_an_api_that_goes_away_between_lists(cluster: Cluster, tmp_path: Path) -> None:
    cluster.api.faults.append(Fault(kind="endpointslices", how="drop"))
    path = tmp_path / "incident.tar.gz"
    ran = cluster.capture(path, "--service", "default/test-service")
    assert ran.code == 3
    assert "kinspect: endpointslices: the connection to the API" in ran.err
    assert items(path, "services") == [("default", "test-service")]
    assert set(open_snapshot(path).nodes) == {"node1", "node2"}
    ran = kinspect("trace", "default/test-service", "--snapshot", str(path))
    assert ran.code == 3, "its endpoints are not known"


def test_it_goes_into_a_pipe(cluster: Cluster, tmp_path: Path) -> None:
    running = cluster.process("-f", "-")
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0
    (tmp_path / "piped.tar.gz").write_bytes(out)
    assert set(open_snapshot(tmp_path / "piped.tar.gz").nodes) == {"node1", "node2"}
    assert err.decode().startswith("kinspect: standard output · 2 nodes")


def test_not_onto_a_terminal() -> None:
    main, terminal = os.openpty()
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "kinspect", "capture", "-f", "-", "--demo"],
            cwd=ROOT, stdout=terminal, stderr=subprocess.PIPE, check=False, text=True,
        )  # fmt: skip
    finally:
        os.close(terminal)
        os.close(main)
    assert ran.returncode == 2
    assert ran.stderr == "kinspect: an archive is no text for a terminal (-f FILE, or a pipe behind it)\n"


def test_a_full_disk_is_one_line() -> None:
    ran = kinspect("capture", "--demo", "-f", "/dev/full")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("kinspect: cannot write /dev/full: No space left on device")
    assert len(ran.err.splitlines()) == 1


def test_a_place_that_cannot_be_written_is_told_before_the_cluster_is_asked(
    cluster: Cluster, tmp_path: Path
) -> None:
    ran = cluster.capture(tmp_path / "nowhere/incident.tar.gz")
    assert ran.code == 2
    assert "No such file or directory" in ran.err
    assert cluster.api.requests == []


# -- narrower


def zoo(tmp_path: Path, *argv: str) -> tuple[Ran, Path]:
    path = tmp_path / "narrow.tar.gz"
    return kinspect("capture", "-f", str(path), "--snapshot", str(DATA / "zoo-nft"), *argv), path


def items(path: Path, kind: str) -> list[tuple[str, str]]:
    found = json.loads(open_snapshot(path).api[f"{kind}.json"])["items"]
    return [(item["metadata"].get("namespace", ""), item["metadata"]["name"]) for item in found]


def test_one_service_and_what_belongs_to_it(tmp_path: Path) -> None:
    ran, path = zoo(tmp_path, "--service", "shop/web")
    assert ran.code == 0
    assert items(path, "services") == [("shop", "web")]
    assert {space for space, _ in items(path, "endpointslices")} == {"shop"}
    assert items(path, "namespaces") == [("", "shop")]
    assert len(items(path, "nodes")) == 2
    before = kinspect("trace", "shop/web", "--snapshot", str(DATA / "zoo-nft"), "--via", "all", "-o", "json")
    after = kinspect("trace", "shop/web", "--snapshot", str(path), "--via", "all", "-o", "json")
    assert after.json["traces"] == before.json["traces"]


def test_one_namespace(tmp_path: Path) -> None:
    _, path = zoo(tmp_path, "-n", "default")
    assert {space for space, _ in items(path, "services")} == {"default"}


def test_a_live_service_is_asked_for_in_its_namespace_only(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "narrow.tar.gz"
    ran = cluster.capture(path, "--service", "default/test-service")
    assert (ran.code, ran.err) == (0, "")
    assert items(path, "services") == [("default", "test-service")]
    assert "/api/v1/namespaces/default/pods" in cluster.api.paths
    assert "/api/v1/pods" not in cluster.api.paths


def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    ran, path = zoo(tmp_path, "--service", "shop/wep")
    assert ran.code == 2
    assert "did you mean shop/web?" in ran.err
    assert not path.exists()


def test_connections_can_be_left_out(tmp_path: Path) -> None:
    assert "conntrack.txt" in open_snapshot(zoo(tmp_path)[1]).nodes["node1"]  # type: ignore[index]
    assert "conntrack.txt" not in open_snapshot(zoo(tmp_path, "--no-conntrack")[1]).nodes["node1"]  # type: ignore[index]


def test_no_connections_are_asked_of_nodes_either(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    cluster.capture(path, "--no-conntrack")
    ran = {command["file"] for command in manifest(path)["nodes"]["node1"]["commands"]}
    assert "iptables-nft-save.txt" in ran
    assert "conntrack.txt" not in ran


def test_one_node(tmp_path: Path) -> None:
    _, path = zoo(tmp_path, "--node", "node2")
    assert list(open_snapshot(path).nodes) == ["node2"]


def test_a_capture_of_a_capture_keeps_how_nodes_were_read(cluster: Cluster, tmp_path: Path) -> None:
    first, second = tmp_path / "first.tar.gz", tmp_path / "second.tar.gz"
    cluster.capture(first)
    assert kinspect("capture", "-f", str(second), "--snapshot", str(first)).code == 0
    assert manifest(second)["nodes"] == manifest(first)["nodes"]
    assert manifest(second)["started"] == manifest(first)["started"]


def test_redacted_live(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "redacted.tar.gz"
    (cluster.nodes["node2"].root / "authorized").write_text("")
    ran = cluster.capture(path, "--redact")
    assert ran.code == 3
    with tarfile.open(path) as archive:
        whole = b"".join(m.name.encode() + (archive.extractfile(m) or b"").read() for m in archive)  # type: ignore[union-attr]
    for word in (
        b"node1",
        b"node2",
        b"test-server",
        b"test-service",
        b"corp.example",
        b"10.42.19.",
        b"192.168.0.11",  # a shorter word could be met by chance: the last two bytes are drawn
    ):
        assert word not in whole, word
    assert b"permission denied" in whole


def test_json_and_wide_say_what_came_of_each_node(tmp_path: Path) -> None:
    ran, path = zoo(tmp_path, "-o", "json")
    assert ran.json == {**manifest(path), "exitCode": 0, "undetermined": [], "warnings": []}
    ran, _ = zoo(tmp_path, "-o", "wide")
    assert [line.split()[0] for line in ran.out.splitlines()[1:]] == ["NODE", "node1", "node2"]
    assert zoo(tmp_path, "-o", "yaml")[0].code == 0


def test_the_archive_and_json_cannot_share_standard_output() -> None:
    ran = kinspect("capture", "--demo", "-f", "-", "-o", "json")
    assert (ran.code, ran.out) == (2, "")


def test_dumps_by_hand_can_be_kept_as_well(tmp_path: Path) -> None:
    path = tmp_path / "rules.tar.gz"
    dump = STORY / "nodes/node1/iptables-save.txt"
    assert kinspect("capture", "-f", str(path), "--rules", f"node1={dump}").code == 0
    assert open_snapshot(path).nodes["node1"]["iptables-save.txt"] == dump.read_bytes()  # type: ignore[index]
