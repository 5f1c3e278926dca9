"""Nodes through the API: a real WebSocket exec endpoint, and each way in which it can fail."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinspect.collect import api_lists as kube
from kinspect.collect.options import ExecOptions
from kinspect.collect.ports import RemoteNode
from kinspect.collect.transports import open_shell
from kinspect.errors import ApiError, NodeError
from kinspect.snapshot.store import open_snapshot
from kinspect.snapshot.types import Files, NodeName
from tests.cli.run import kinspect
from tests.clusters import DATA
from tests.collect.pods import status
from tests.collect.replay import TOKEN, Fault, ReplayServer, write_kubeconfig
from tests.collect.tools import Tools
from tests.collect.tunnel import Tunnel

STORY = DATA / "story-1-both-nodes"
HOSTS = [RemoteNode(NodeName(f"node{n}"), {}) for n in (1, 2)]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ReplayServer]:
    with ReplayServer(STORY, tmp_path) as server:
        for host in HOSTS:
            server.lists["pods"].append(server.pods.add(host.name, STORY / "nodes" / host.name))
        yield server


def image(api: ReplayServer, node: int = 1) -> Tools:
    return api.pods.images[f"kube-proxy-{node - 1}"]


def fetched(api: ReplayServer, host: RemoteNode = HOSTS[0], **options: object) -> Files:
    with kube.connect(str(api.kubeconfig)) as connected:
        return open_shell(ExecOptions(**options), connected).fetch(host)  # type: ignore[arg-type]


def failure(api: ReplayServer, host: RemoteNode = HOSTS[0], **options: object) -> str:
    with pytest.raises(NodeError) as caught:
        fetched(api, host, **options)
    assert str(caught.value).isprintable()
    assert TOKEN not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("protocols", [("v5.channel.k8s.io", "v4.channel.k8s.io"), ("v4.channel.k8s.io",)])
def test_what_a_node_prints_comes_back_byte_for_byte(api: ReplayServer, protocols: tuple[str, ...]) -> None:
    api.pods.protocols = protocols
    for host in HOSTS:
        recorded = STORY / "nodes" / host.name
        files = fetched(api, host)
        for name in ("iptables-save.txt", "ip6tables-save.txt", "ipset-save.txt", "ip-addr.json", "ip-route.json",
                     "ip-6-route.json", "ip-rule.json", "sysctl.txt"):  # fmt: skip
            assert files[name] == (recorded / name).read_bytes(), name


def test_a_dump_of_many_messages_comes_back_whole(api: ReplayServer) -> None:
    rules = b"".join(b"-A KUBE-SERVICES -m comment --comment %d\n" % n for n in range(100_000))
    (api.pods.root / "large").write_bytes(b"*nat\n:KUBE-SERVICES - [0:0]\n" + rules + b"COMMIT\n")
    image(api).tool("iptables-nft-save", f"/bin/cat {api.pods.root}/large")
    assert fetched(api)["iptables-save.txt"] == (api.pods.root / "large").read_bytes()


def test_no_shell_runs_and_nothing_that_changes_the_node(api: ReplayServer) -> None:
    fetched(api)
    programs = {argv[0] for _, argv in api.pods.ran}
    assert programs == {
        "iptables-legacy-save", "iptables-nft-save", "ip6tables-legacy-save", "ip6tables-nft-save",
        "iptables", "ipset", "nft", "ip", "sysctl", "cat", "curl", "wget",
    }  # fmt: skip
    assert not any(set(argv) & {"-w", "add", "-A", "-F", "flush"} for _, argv in api.pods.ran)


def test_an_image_of_iptables_alone_is_enough_and_no_program_is_asked_for_twice(api: ReplayServer) -> None:
    tools = image(api)
    for path in tools.folder.iterdir():
        path.unlink()
    tools.tool("iptables-save", f"/bin/cat {STORY}/nodes/node1/iptables-save.txt")
    assert set(fetched(api)) == {"iptables-save.txt"}
    asked = [argv[0] for _, argv in api.pods.ran]
    assert asked.count("ip") == 1
    assert "iptables-nft-save" not in asked


def test_connections_are_read_only_if_asked_for_and_say_if_they_were_cut(api: ReplayServer) -> None:
    line = (
        "udp 17 29 src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 use=1"
    )
    image(api).tool("conntrack", f"echo '{line}'; echo '{line}'")
    assert "conntrack.txt" not in fetched(api)
    files = fetched(api, connections=2)
    assert files["conntrack.txt"] == files["conntrack-6.txt"] == f"{line}\n{line}\n".encode()
    assert fetched(api, connections=1)["conntrack.txt"] == f"{line}\n# cut after 1 entries\n".encode()


def test_both_back_ends_stay_apart_where_both_hold_rules(api: ReplayServer) -> None:
    split = DATA / "split-backends" / "nodes" / "node1"
    for end in ("legacy", "nft"):
        for family in ("iptables", "ip6tables"):
            image(api).tool(f"{family}-{end}-save", f"/bin/cat {split}/{family}-{end}-save.txt")
    files = fetched(api)
    assert "iptables-save.txt" not in files
    assert files["iptables-legacy-save.txt"] == (split / "iptables-legacy-save.txt").read_bytes()


def test_an_image_without_iptables_is_said(api: ReplayServer) -> None:
    for path in image(api).folder.iterdir():
        path.unlink()
    assert "neither iptables-save nor nft in pod kube-system/kube-proxy-0 (--exec-selector" in failure(api)


def test_the_permission_that_is_missing_is_named(api: ReplayServer) -> None:
    api.faults.append(Fault(403, kind="exec"))
    said = failure(api)
    assert (
        'user "jane" may not run commands in pods of namespace kube-system (verb get, resource pods/exec'
        in said
    )
    assert "a role must grant the verbs get and create" in said
    assert "kubectl auth can-i create pods --subresource=exec -n kube-system" in said


def test_the_list_of_pods_needs_its_own_permission_and_is_asked_for_once(api: ReplayServer) -> None:
    api.faults.append(Fault(403, kind="pods"))
    with pytest.raises(ApiError, match="may not list pods in namespace"):
        fetched(api)


def test_no_pod_on_the_node(api: ReplayServer) -> None:
    said = failure(api, selector="k8s-app=other")
    assert "no pod labelled k8s-app=other in namespace kube-system runs there" in said
    assert "--exec-selector" in said


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"phase": "Pending", "state": {"waiting": {"reason": "ContainerCreating"}}}, "does not run: ContainerCreating"),
        ({"state": {"waiting": {"reason": "CrashLoopBackOff"}}}, "does not run: CrashLoopBackOff"),
        ({"state": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}, "does not run: OOMKilled"),
        ({"phase": "Failed", "state": {}}, "does not run: Failed"),
        ({"host_network": False}, "a network of its own: its rules are not the node's"),
    ],
)  # fmt: skip
def test_a_pod_that_cannot_be_used(api: ReplayServer, changes: dict[str, object], says: str) -> None:
    api.lists["pods"] = [api.pods.add("node1", STORY / "nodes" / "node1", **changes)]
    assert says in failure(api)
    assert not api.pods.ran


def test_of_two_pods_on_a_node_the_one_that_runs_is_taken(api: ReplayServer) -> None:
    crashed = api.pods.add(
        "node1", STORY / "nodes" / "node1", state={"waiting": {"reason": "CrashLoopBackOff"}}
    )
    api.lists["pods"].insert(0, crashed)
    assert "iptables-save.txt" in fetched(api)


def test_another_namespace_selector_and_container(api: ReplayServer) -> None:
    labels = {"namespace": "cni", "labels": {"app": "agent"}, "containers": ["main", "agent"]}
    api.lists["pods"] = [api.pods.add("node1", STORY / "nodes" / "node1", **labels)]
    files = fetched(api, namespace="cni", selector="app=agent", container="agent")
    assert "iptables-save.txt" in files
    assert all("container=agent" in path for path in api.requests if "/exec" in path)
    said = failure(api, namespace="cni", selector="app=agent", container="nope")
    assert "it has no container nope" in said
    assert "--exec-container" in said


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(500, kind="exec", body=status("Failure", 'container not found ("kube-proxy")', kind="Status")),
         "has no running container kube-proxy"),
        (Fault(500, kind="exec", body=status("Failure", "error dialing backend: dial tcp 10.0.0.1:10250: connect: connection refused", kind="Status")),
         "the API does not reach the node's kubelet"),
        (Fault(502, kind="exec", body=b"<html>\x1b[2Jbad gateway</html>"), "no command can be run: 502"),
        (Fault(302, kind="exec", body=b"", headers={"Location": "https://127.0.0.1:1/"}), "the connection was cut"),
        (Fault(kind="exec", how="drop"), "the connection was cut while iptables-legacy-save ran"),
        (Fault(404, kind="exec"), "kube-proxy-0 is gone"),
        (Fault(403, kind="exec", body=status("Failure", "admission webhook denied the request", kind="Status")),
         "commands in pod kube-system/kube-proxy-0 are refused: admission webhook denied the request"),
    ],
)  # fmt: skip
def test_an_endpoint_that_fails(api: ReplayServer, fault: Fault, says: str) -> None:
    api.faults.append(fault)
    assert says in failure(api)


def test_a_dump_cut_half_way_is_no_short_dump(api: ReplayServer) -> None:
    # As where a runtime ends the stream early and calls it success.
    image(api).tool("iptables-nft-save", f"/usr/bin/head -c 2000 {STORY}/nodes/node1/iptables-save.txt")
    assert "the dump of iptables-nft-save is cut short" in failure(api)


def test_what_is_no_dump_is_told_without_control_characters(api: ReplayServer) -> None:
    image(api).tool("iptables-nft-save", r"printf 'Segmentation \033[2Jfault [red]\n'")
    said = failure(api)
    assert (
        r"iptables-nft-save in pod kube-system/kube-proxy-0 printed something that is not a dump: Segmentation \x1b[2Jfault"
        in said
    )


def test_a_container_without_the_right_to_read_rules(api: ReplayServer) -> None:
    for end in ("legacy", "nft"):
        image(api).tool(f"iptables-{end}-save", "echo 'Permission denied (you must be root)' >&2; exit 4")
    said = failure(api)
    assert "permission denied in pod" in said
    assert "NET_ADMIN" in said
    assert "sudo" not in said


@pytest.mark.parametrize("fault", [Fault(kind="exec", how="hang"), None])
def test_a_node_that_hangs_is_given_up(api: ReplayServer, fault: Fault | None) -> None:
    if fault:
        api.faults.append(fault)
    else:
        image(api).tool("iptables-nft-save", "exec /bin/sleep 5")
    said = failure(api, timeout=1.0)
    assert "did not finish within the time limit (raise the limit with --timeout" in said


def test_an_interrupt_ends_what_runs(api: ReplayServer) -> None:
    image(api).tool("iptables-nft-save", "exec /bin/sleep 5")
    with kube.connect(str(api.kubeconfig)) as connected:
        shell = open_shell(ExecOptions(), connected)
        timer = threading.Timer(0.7, getattr(shell, "close"))  # noqa: B009 - not of the protocol
        timer.start()
        with pytest.raises(NodeError, match="interrupted"):
            shell.fetch(HOSTS[0])
        timer.join()


def test_a_clients_certificate_is_as_good_as_a_token(api: ReplayServer, tmp_path: Path) -> None:
    pem = str(tmp_path / "client.pem")
    write_kubeconfig(api.kubeconfig, api, user={"client-certificate": pem, "client-key": pem})
    assert "iptables-save.txt" in fetched(api)


def test_a_server_that_is_not_trusted_is_not_asked(api: ReplayServer, tmp_path: Path) -> None:
    write_kubeconfig(
        api.kubeconfig, api, cluster={"insecure-skip-tls-verify": True, "certificate-authority": None}
    )
    assert "iptables-save.txt" in fetched(api), "as the kubeconfig has it"


@pytest.mark.parametrize("by", ["kubeconfig", "HTTPS_PROXY"])
def test_a_proxy_is_used_as_for_the_lists(
    api: ReplayServer, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    with Tunnel() as tunnel:
        url = f"http://sre:se%20cret@{tunnel.address}"
        if by == "kubeconfig":
            write_kubeconfig(api.kubeconfig, api, cluster={"proxy-url": url})
        else:
            monkeypatch.setenv("HTTPS_PROXY", url)
        assert "iptables-save.txt" in fetched(api)
    # The list of pods, and each command.
    assert len(tunnel.asked) > 10
    assert {where for where, _ in tunnel.asked} == {f"127.0.0.1:{api.port}"}
    assert all(who for _, who in tunnel.asked[1:])


def test_no_proxy_is_heeded(api: ReplayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Tunnel() as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{tunnel.address}")
        monkeypatch.setenv("NO_PROXY", "example.com, 127.0.0.1")
        assert "iptables-save.txt" in fetched(api)
    assert tunnel.asked == []


def test_names_of_the_cluster_never_change_the_request(api: ReplayServer) -> None:
    (pod,) = (
        p
        for p in api.lists["pods"]
        if p["spec"].get("nodeName") == "node1" and p["metadata"]["namespace"] == "kube-system"
    )
    pod["metadata"]["name"] = "../../secrets?x=\x1b[2J\r\nHost: evil"
    assert "is gone" in failure(api)
    assert any(
        "/pods/..%2F..%2Fsecrets%3Fx%3D%1B%5B2J%0D%0AHost%3A%20evil/exec" in path for path in api.requests
    )
    assert not any("/secrets" in path for path in api.paths)


EXEC = ("trace", "svc/test-service", "-n", "default", "--transport", "exec")


def test_the_answer_is_that_of_the_recording(api: ReplayServer) -> None:
    live = kinspect(*EXEC, "-o", "json", "--kubeconfig", str(api.kubeconfig))
    assert (live.code, live.err) == (0, "")
    recorded = kinspect("trace", "svc/test-service", "--snapshot", str(STORY), "-o", "json")
    assert live.json["traces"] == recorded.json["traces"]
    assert live.json["destinations"] == recorded.json["destinations"]


def test_a_capture_says_by_which_pod_a_node_was_read(api: ReplayServer, tmp_path: Path) -> None:
    path = tmp_path / "incident.tar.gz"
    words = ("--transport", "exec", "--kubeconfig", str(api.kubeconfig))
    ran = kinspect("capture", "-f", str(path), *words)
    assert (ran.code, ran.err) == (0, "")
    manifest = open_snapshot(path).manifest
    assert manifest is not None
    assert [record.transport for record in manifest.nodes.values()] == ["exec", "exec"]
    assert [record.target for record in manifest.nodes.values()] == [
        "kube-system/kube-proxy-0",
        "kube-system/kube-proxy-1",
    ]
    commands = {command.command for command in manifest.nodes["node1"].commands}
    assert {"ipset save", "ip -d -j addr show"} < commands
    assert all(commands)


@pytest.mark.parametrize("command", ["check in-sync", "check drained", "audit"])
def test_checks_and_audits_read_nodes_that_way_too(api: ReplayServer, command: str) -> None:
    words = ("--transport", "exec", "--kubeconfig", str(api.kubeconfig))
    live = kinspect(*command.split(), *words, "-o", "json")
    recorded = kinspect(*command.split(), "--snapshot", str(STORY), "-o", "json")
    assert (live.code, live.json) == (recorded.code, recorded.json)


GONE = DATA / "flows-3-pod-left"


@pytest.fixture
def flowing(tmp_path: Path) -> Iterator[ReplayServer]:
    """A cluster in which sockets are open, its nodes with ``conntrack`` in kube-proxy's image."""
    with ReplayServer(GONE, tmp_path) as server:
        for host in HOSTS:
            server.lists["pods"].append(server.pods.add(host.name, GONE / "nodes" / host.name))
            tools = server.pods.images[f"kube-proxy-{int(host.name[-1]) - 1}"]
            tools.tool(
                "conntrack", f'[ "$3" = ipv4 ] && /bin/cat {GONE}/nodes/{host.name}/conntrack.txt; exit 0'
            )
        yield server


@pytest.mark.parametrize(
    "command",
    [
        "flows",
        "flows --to node/node2",
        "check drained --established",
        "check no-traffic --to node/node2 --established",
    ],
)
def test_connections_of_a_live_cluster_are_those_of_its_recording(
    flowing: ReplayServer, command: str
) -> None:
    live = kinspect(
        *command.split(), "--transport", "exec", "--kubeconfig", str(flowing.kubeconfig), "-o", "json"
    )
    recorded = kinspect(*command.split(), "--snapshot", str(GONE), "-o", "json")
    assert (live.code, live.json) == (recorded.code, recorded.json)


def test_connections_are_read_live_only_if_the_command_is_about_them(flowing: ReplayServer) -> None:
    words = ("--transport", "exec", "--kubeconfig", str(flowing.kubeconfig))
    ran = kinspect("check", "drained", *words)
    assert "existing ones were not read (--established)" in ran.err
    kinspect("audit", *words)
    assert not [argv for _, argv in flowing.pods.ran if argv[0] == "conntrack"]


def test_connections_that_may_not_be_read_are_no_pass(flowing: ReplayServer) -> None:
    refused = (
        "echo 'conntrack v1.4.7 (conntrack-tools): Operation failed: sorry, you must be root' >&2; exit 1"
    )
    for tools in flowing.pods.images.values():
        tools.tool("conntrack", refused)
    words = ("--transport", "exec", "--kubeconfig", str(flowing.kubeconfig))
    ran = kinspect("check", "drained", "--established", *words)
    assert (ran.code, "node1: its connections may not be read" in ran.out) == (3, True)
    assert "its connections may not be read" in kinspect("flows", *words).err
    for tools in flowing.pods.images.values():
        tools.remove("conntrack")
    ran = kinspect("flows", *words)
    assert (ran.code, "there is no conntrack on it" in ran.err) == (3, True)


def test_it_waits_for_a_live_cluster_and_watches_it(
    flowing: ReplayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinspect.pipeline.until._PAUSE", 2.5)
    words = ("--transport", "exec", "--kubeconfig", str(flowing.kubeconfig))
    assert kinspect("check", "drained", "--established", "--wait", "1s", *words).code == 1
    # A recording does not run down: each entry looks as if a packet had just come.
    ran = kinspect("check", "no-traffic", "--to", "node/node2", "--observe", "5", *words)
    assert (ran.code, "had packets while it was watched" in ran.out) == (1, True)
    assert "too short" in kinspect("check", "drained", "--observe", "4s", *words).err
    for tools in flowing.pods.images.values():
        tools.tool("conntrack", "exit 0")
    assert kinspect("check", "drained", "--established", "--wait", "1", "--observe", "5s", *words).code == 0


def test_a_node_that_fails_is_named_and_the_other_answered(api: ReplayServer) -> None:
    api.faults.append(Fault(403, kind="exec", pod="kube-proxy-1"))
    ran = kinspect(*EXEC, "-o", "json", "--kubeconfig", str(api.kubeconfig))
    assert ran.code == 3
    assert [trace["node"] for trace in ran.json["traces"]] == ["node1"]
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith(
        'kinspect: node2: user "jane" may not run commands in pods of namespace kube-system'
    )


def test_options_come_from_the_environment(api: ReplayServer) -> None:
    env = {"KINSPECT_TRANSPORT": "exec", "KINSPECT_EXEC_SELECTOR": "app=x", "KINSPECT_EXEC_NAMESPACE": "cni"}
    ran = kinspect(*EXEC[:4], "--kubeconfig", str(api.kubeconfig), env=env)
    assert ran.code == 3
    assert "node1: no pod labelled app=x in namespace cni runs there" in ran.err


def test_where_there_is_no_ssh_the_api_is_taken_and_that_is_said(
    api: ReplayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    ran = kinspect(*EXEC[:4], "-o", "json", "--kubeconfig", str(api.kubeconfig))
    assert ran.code == 0
    assert ran.err == (
        "kinspect: this machine has no ssh: reading nodes through the API, by commands in a pod on each (--transport exec)\n"
    )
    asked = kinspect(*EXEC[:4], "--transport", "ssh", "--kubeconfig", str(api.kubeconfig))
    assert "there is no ssh here" in asked.err, "who asks for ssh gets ssh"
    assert kinspect("trace", "svc/test-service", "--demo").err == "", "a recording needs no transport"


def test_readings_are_the_rules_alone_again_and_again(api: ReplayServer) -> None:
    with kube.connect(str(api.kubeconfig)) as connected:
        shell = open_shell(ExecOptions(), connected)
        coming = shell.readings(HOSTS[0], 1)
        for _ in range(2):
            files = next(coming)
            assert files["iptables-save.txt"] == (STORY / "nodes/node1/iptables-save.txt").read_bytes()
            assert set(files) == {"iptables-save.txt", "ip6tables-save.txt"}
        assert {argv[0].rpartition("-")[2] for _, argv in api.pods.ran} == {"save"}
        shell.close()
        with pytest.raises(NodeError, match="interrupted"):
            next(coming)


def test_a_node_is_watched_through_the_api(api: ReplayServer) -> None:
    argv = ("watch", "default/test-service", "--transport", "exec", "--kubeconfig", str(api.kubeconfig))
    ran = kinspect(*argv, "--interval", "1s", "--for", "3s", "-o", "json")
    assert ran.documents[-1]["reading"] == 3
    assert {each["condition"] for each in ran.documents[-1]["nodes"]} == {"counted"}, ran.err
