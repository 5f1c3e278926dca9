"""Nodes over a real sshd: what comes back, and each way in which it can fail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kinspect.collect.node_output import Section, node_files, read_bundle, sudoers_line
from kinspect.collect.options import EVERY_CONNECTION, SshOptions
from kinspect.collect.ports import RemoteNode
from kinspect.collect.ssh import SshShell
from kinspect.errors import CallError, NodeError
from kinspect.parse.node.conntrack import read_connections
from kinspect.parse.node.state import read_node
from kinspect.snapshot.manifest import Command
from kinspect.snapshot.types import Fetched, NodeName
from tests.cli.run import kinspect
from tests.clusters import DATA
from tests.collect.replay import ReplayServer
from tests.collect.sshd import Sshd, free_port, keygen, sshd
from tests.needs import isolated, needs

pytestmark = pytest.mark.ssh

NODE = RemoteNode(NodeName("node1"), {"InternalIP": "127.0.0.1", "Hostname": "node1"})
RECORDED = DATA / "story-1-both-nodes" / "nodes" / "node1"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Sshd]:
    with sshd(tmp_path / "sshd") as running:
        yield running


def fetched(server: Sshd, **changes: object) -> dict[str, bytes]:
    return dict(SshShell(server.options(**changes)).fetch(NODE))


def failure(options: SshOptions) -> NodeError:
    with pytest.raises(NodeError) as caught:
        SshShell(options).fetch(NODE)
    assert "\n" not in str(caught.value)
    assert "StrictHostKeyChecking" not in str(caught.value), "nobody is told to turn the check off"
    return caught.value


def test_the_files_are_what_the_nodes_own_tools_print(server: Sshd) -> None:
    needs("ip", "iptables-save")
    files = fetched(server)
    assert json.loads(files["ip-addr.json"]) == json.loads(
        subprocess.check_output(["ip", "-d", "-j", "addr", "show"])
    )
    assert json.loads(files["ip-rule.json"]) == json.loads(
        subprocess.check_output(["ip", "-j", "rule", "show"])
    )
    assert files["iptables-version.txt"] == subprocess.check_output(["iptables", "--version"])
    assert "iptables-save.txt" in files
    assert b"net.ipv4.ip_forward = " in files["sysctl.txt"]
    for switch in ("route_localnet", "rp_filter", "accept_local", "src_valid_mark", "forwarding"):
        key = f"net.ipv4.conf.lo.{switch}"
        assert (
            f"{key} = {subprocess.check_output(['sysctl', '-n', key], text=True)}"
            in files["sysctl.txt"].decode()
        )


def test_a_recorded_nodes_output_comes_back_byte_for_byte(server: Sshd) -> None:
    server.recorded(RECORDED)
    files = fetched(server)
    for name in (
        "iptables-save.txt",
        "ip6tables-save.txt",
        "ip-addr.json",
        "ip-route.json",
        "ip-6-route.json",
        "ip-rule.json",
    ):
        assert files[name] == (RECORDED / name).read_bytes(), name
    assert "ip-6-rule.json" not in files, "a tool that failed brings no file"


def test_both_back_ends_stay_apart_where_both_hold_rules(server: Sshd) -> None:
    split = DATA / "split-backends" / "nodes" / "node1"
    server.recorded(RECORDED)
    for name in ("iptables-legacy-save", "iptables-nft-save", "ip6tables-legacy-save", "ip6tables-nft-save"):
        server.tool(name, f"cat {split / name}.txt; cat {split / name}.stderr >&2")
    files = fetched(server)
    assert "iptables-save.txt" not in files
    for name in ("iptables-legacy-save.txt", "iptables-nft-save.txt", "iptables-nft-save.stderr"):
        assert files[name] == (split / name).read_bytes(), name


def test_a_banner_and_a_talkative_profile_do_not_disturb(tmp_path: Path) -> None:
    (tmp_path / "banner").write_text("Welcome\nto the node\n")
    config = {"Banner": str(tmp_path / "banner"), "ForceCommand": 'echo hello; sh -c "$SSH_ORIGINAL_COMMAND"'}
    with sshd(tmp_path / "sshd", config) as server:
        server.recorded(RECORDED)
        assert fetched(server)["iptables-save.txt"] == (RECORDED / "iptables-save.txt").read_bytes()


@pytest.mark.parametrize("said", ["echo", "echo >&2"])
def test_an_account_without_a_shell_is_told_in_its_own_words(tmp_path: Path, said: str) -> None:
    with sshd(tmp_path / "sshd", {"ForceCommand": f"exec {said} This account is not available"}) as server:
        error = failure(server.options())
    assert error.message == "the node did not run the script; it said: This account is not available"


def test_output_that_imitates_marks_is_only_output(server: Sshd) -> None:
    server.recorded(RECORDED)
    forged = "printf '*nat\\n@00 end iptables-nft-save.txt 0\\n@00 done\\nCOMMIT\\n'"
    server.tool("iptables-nft-save", forged)
    assert fetched(server)["iptables-save.txt"].endswith(b"@00 done\nCOMMIT\n")


def test_a_changed_host_key(server: Sshd, tmp_path: Path) -> None:
    other = keygen(tmp_path / "other").with_suffix(".pub").read_text().split()
    server.known_hosts.write_text(f"[127.0.0.1]:{server.port} {other[0]} {other[1]}\n")
    error = failure(server.options())
    assert "its host key is not the one known" in error.message
    assert error.hint is not None
    assert "ssh-keygen -R" in error.hint


def test_an_unknown_host_key(server: Sshd) -> None:
    server.known_hosts.write_text("")
    assert "its host key is not known" in failure(server.options()).message


def test_permission_denied(server: Sshd) -> None:
    (server.root / "authorized").write_text("")
    assert "permission denied: it took none of your keys" in failure(server.options()).message


def test_connection_refused(server: Sshd) -> None:
    assert "connection refused" in failure(server.options(port=free_port())).message


def test_a_name_that_nobody_knows(server: Sshd) -> None:
    assert "its name is not known here" in failure(server.options(target="{name}.invalid")).message


def test_a_wrong_option(server: Sshd) -> None:
    assert "ssh does not take its options" in failure(server.options(options=("Bogus=1",))).message


def test_no_client_at_all(server: Sshd) -> None:
    assert "there is no no-such-ssh here" in failure(server.options(program="no-such-ssh")).message


def test_a_node_that_hangs_is_given_up_and_nothing_stays_behind(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("iptables-nft-save", "echo $$ > hanging; exec sleep 1000")
    error = failure(server.options(timeout=2.0))
    assert "no answer within 2 s" in error.message
    running = subprocess.run(
        ["pgrep", "-f", f"-p {server.port} "], capture_output=True, text=True, check=False
    )
    assert running.stdout == ""


def test_a_connection_that_is_cut_is_no_short_dump(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool(
        "iptables-nft-save",
        """head -c 2000 %s
        p=$$
        while [ "$p" -gt 1 ] && ! grep -q '^Name:.*sshd' /proc/$p/status; do
            p=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$p/status)
        done
        kill -9 "$p"; sleep 5"""
        % (RECORDED / "iptables-save.txt"),
    )
    error = failure(server.options())
    assert "cut" in error.message or "closed" in error.message


def test_a_dump_that_failed_is_no_empty_dump(server: Sshd) -> None:
    server.recorded(RECORDED)
    for name in ("iptables-nft-save", "iptables-legacy-save"):
        server.tool(name, "echo 'Another app is currently holding the xtables lock.' >&2; exit 4")
    assert "another program holds the xtables lock" in failure(server.options()).message
    for name in ("iptables-nft-save", "iptables-legacy-save"):
        server.tool(name, "echo 'iptables: cannot do it' >&2; exit 1")
    assert "iptables-legacy-save failed: iptables: cannot do it" in failure(server.options()).message


def test_what_is_no_dump_is_told_without_control_characters(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("iptables-nft-save", r"printf 'Segmentation \033[2Jfault\n'")
    said = str(failure(server.options()))
    assert r"iptables-nft-save on the node printed what is no dump: Segmentation \x1b[2Jfault" in said


def test_a_dump_without_its_end_is_no_dump(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("iptables-nft-save", f"head -c 2000 {RECORDED}/iptables-save.txt")
    assert "the dump of iptables-nft-save is cut short" in failure(server.options()).message


def test_a_held_xtables_lock_does_not_keep_rules_from_being_read(tmp_path: Path) -> None:
    needs("iptables-legacy-save", "flock")
    # The real tools, in namespaces of their own. iptables waits for this lock; iptables-save takes none.
    held = (
        f"{isolated('net', 'mount')} sh -c 'PATH=$PATH:/usr/sbin; mount -t tmpfs none /run;"
        " iptables-legacy -t nat -A OUTPUT -j ACCEPT; exec 9>/run/xtables.lock; flock 9;"
        ' iptables-legacy -w 1 -t nat -S >/dev/null 2>&1 && exit 1; exec sh -c "$SSH_ORIGINAL_COMMAND"\''
    )
    with sshd(tmp_path / "sshd", {"ForceCommand": held}) as server:
        files = fetched(server)
    dump = files.get("iptables-legacy-save.txt") or files["iptables-save.txt"]
    assert b"-A OUTPUT -j ACCEPT" in dump


def test_the_data_path_is_told_by_nft_tables_of_kube_proxy(tmp_path: Path) -> None:
    needs("nft")
    own = f"""{isolated("net")} sh -c 'PATH=$PATH:/usr/sbin; nft add table ip kube-proxy; nft add table ip6 kube-proxy; exec sh -c "$SSH_ORIGINAL_COMMAND"'"""
    with sshd(tmp_path / "sshd", {"ForceCommand": own}) as server:
        state = read_node("node1", fetched(server))
    assert (state.data_path, state.proof) == ("nftables", "there are nft tables named kube-proxy")


def test_the_kernels_table_of_virtual_servers_comes_along(server: Sshd) -> None:
    server.recorded(RECORDED)
    table = server.root / "ip_vs"
    table.write_text("IP Virtual Server version 1.2.1 (size=4096)\nTCP  0A2B0001:01BB rr\n")
    shell = SshShell(server.options())
    shell._script = shell._script.replace(b"/proc/net/ip_vs", str(table).encode())
    assert shell.fetch(NODE)["ip-vs.txt"] == table.read_bytes()


def test_one_back_end_that_does_not_work_beside_one_that_does(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("iptables-legacy-save", "echo 'legacy: not in this kernel' >&2; exit 3")
    assert fetched(server)["iptables-save.txt"] == (RECORDED / "iptables-save.txt").read_bytes()


def test_sudo_that_wants_a_password_says_what_to_allow(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("id", 'case "$1" in -u) echo 1000 ;; *) echo ops ;; esac')
    server.tool("sudo", "echo 'sudo: a password is required' >&2; exit 1")
    error = failure(server.options())
    assert "sudo on the node wants a password" in error.message
    assert error.hint is not None
    # The tools that the node has, where it has them: neither more nor less need be allowed.
    assert f"ops ALL=(root) NOPASSWD: {server.tools}/iptables-save -c" in error.hint
    assert "/usr/sbin/iptables-save" not in error.hint


@pytest.mark.parametrize(
    "said",
    [
        "sudo: a password is required",
        "sudo: a terminal is required to read the password; either use the -S option to read from standard input",
        "sudo: interactive authentication is required",
        "sudo-rs: interactive authentication is required",
        "Sorry, user ops is not allowed to execute '/usr/sbin/iptables-save -c' as root on node1.",
        "ops is not in the sudoers file.",
        "Sorry, user ops may not run sudo on node1.",
        "sudo: sorry, you must have a tty to run sudo",
    ],
)
def test_each_way_in_which_sudo_refuses_is_known(said: str) -> None:
    dump = Section(b"", 1, said)
    with pytest.raises(NodeError, match="wants a password for iptables-save") as caught:
        node_files({"id": Section(b"ops\n", 0), "iptables-save.txt": dump})
    assert caught.value.hint == f"allow it in sudoers: {sudoers_line('ops')}"


def test_a_node_cannot_write_the_line_for_sudoers() -> None:
    tools = Section(b"/bin/iptables-save\n/x, ALL=(ALL)/iptables-nft-save\n\x1b[2J/ipset\n", 0)
    with pytest.raises(NodeError) as caught:
        node_files(
            {
                "id": Section(b"ops\n", 0),
                "tools": tools,
                "iptables-save.txt": Section(b"", 1, "a password is required"),
            }
        )
    assert caught.value.hint == "allow it in sudoers: ops ALL=(root) NOPASSWD: /bin/iptables-save -c"


@pytest.mark.parametrize(
    ("sudo", "uid", "used"), [(None, 0, False), (None, 1000, True), (True, 0, True), (False, 1000, False)]
)
def test_sudo_is_used_only_where_needed_or_asked_for(
    server: Sshd, sudo: bool | None, uid: int, used: bool
) -> None:
    server.recorded(RECORDED)
    server.tool("id", f'case "$1" in -u) echo {uid} ;; *) echo ops ;; esac')
    server.tool("sudo", f'shift; touch {server.root}/sudo-was-used; exec "$@"')
    fetched(server, sudo=sudo)
    assert (server.root / "sudo-was-used").exists() is used


TCP = "tcp 6 99 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2 src=10.0.0.2 dst=10.0.0.1 sport=2 dport=1 use=1"


def commands(server: Sshd, **changes: object) -> dict[str, Command]:
    found = SshShell(server.options(**changes)).fetch(NODE)
    assert isinstance(found, Fetched)
    return {command.file: command for command in found.ran}


def test_connections_are_read_per_family_and_only_if_asked_for(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("conntrack", f"echo '{TCP}'; echo \"mark of $*\" >&2")
    assert not {"conntrack.txt", "conntrack-6.txt"} & set(fetched(server))
    files = fetched(server, connections=EVERY_CONNECTION)
    assert files["conntrack.txt"] == files["conntrack-6.txt"] == f"{TCP}\n".encode()
    ran = commands(server, connections=EVERY_CONNECTION)
    assert [ran[file].stderr for file in ("conntrack.txt", "conntrack-6.txt")] == [
        "mark of -L -f ipv4",
        "mark of -L -f ipv6",
    ]


def test_a_table_longer_than_asked_for_says_that_it_was_cut(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool(
        "conntrack", f"i=0; while [ $i -lt 30000 ]; do echo '{TCP}'; i=$((i+1)); done; exec echo '{TCP}'"
    )
    for most, cut in ((2, True), (30000, True), (30001, False)):
        text = fetched(server, connections=most)["conntrack.txt"]
        table = read_connections([text], "x")
        assert (table.total, table.cut) == (most, cut)


def test_a_table_that_may_not_be_read_is_not_an_empty_one(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool(
        "conntrack",
        "echo 'Operation failed: sorry, you must be root or get CAP_NET_ADMIN capability to do this' >&2; exit 1",
    )
    assert "conntrack.txt" not in fetched(server, connections=5)
    found = commands(server, connections=5)["conntrack.txt"]
    assert (found.status, "must be root" in found.stderr) == (1, True)


def test_the_nodes_own_timeouts_and_counts_come_along(server: Sshd) -> None:
    text = fetched(server)["sysctl.txt"].decode()
    path = Path("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established")
    assert f"net.netfilter.nf_conntrack_tcp_timeout_established = {path.read_text()}" in text
    assert "net.netfilter.nf_conntrack_max = " in text


def test_a_node_without_tools(server: Sshd) -> None:
    server.recorded(RECORDED)
    script = (Path(sys.modules["kinspect.collect.ssh"].__file__ or "").parent / "remote.sh").read_text()
    bare = server.root / "bare"
    bare.mkdir()
    for name in ("sh", "id", "head", "cat", "tr", "basename"):
        (bare / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    shell = SshShell(server.options())
    shell._script = script.replace("PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin", f"PATH={bare}").encode()
    with pytest.raises(NodeError, match="neither iptables-save nor nft"):
        shell.fetch(NODE)


@pytest.mark.parametrize("interpreter", ["dash", "bash --posix", "busybox sh"])
def test_the_script_is_plain_posix(interpreter: str) -> None:
    needs(interpreter.split()[0], "iptables-save")
    script = resources_script()
    done = subprocess.run(
        [*interpreter.split(), "-s", "--", "abc", "no", "5"], input=script, capture_output=True, check=True
    )
    assert done.stderr == b""
    assert "iptables-save.txt" in node_files(read_bundle(done.stdout, "abc"))


def resources_script() -> bytes:
    from importlib import resources

    return (resources.files("kinspect.collect") / "remote.sh").read_bytes()


@pytest.mark.parametrize(
    "address",
    ["-oProxyCommand=id", "a b", "$(id)", "a;id", "a\nb", "", "ssh://x", "user@host", "\x1b[2J", "%h`id`"],
)
def test_hostile_addresses_never_reach_ssh(address: str) -> None:
    shell = SshShell(SshOptions(target="{internal_ip}"))
    with pytest.raises(NodeError, match="cannot be a host for ssh") as caught:
        shell.command(RemoteNode(NodeName("n"), {"InternalIP": address}))
    assert str(caught.value).isprintable()


HOSTILE = ["-oProxyCommand=touch pwned", "a b", "$(touch pwned)", "`touch pwned`", "x;touch pwned", "a\nb", "\x1b[2Jx",
           "[red]x", "..", "{name}", "%n"]  # fmt: skip


@pytest.mark.parametrize("field", ["name", "internal_ip"])
def test_hostile_nodes_run_nothing_and_each_is_one_plain_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    needs("ssh")
    monkeypatch.chdir(tmp_path)
    with ReplayServer(DATA / "story-1-both-nodes", tmp_path) as api:
        api.lists["nodes"] = [
            {
                "metadata": {"name": text if field == "name" else f"node{n}"},
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": text if field == "internal_ip" else "127.0.0.1"}
                    ]
                },
            }
            for n, text in enumerate(HOSTILE)
        ]
        reach = (
            "--kubeconfig",
            str(api.kubeconfig),
            "--ssh-target",
            f"{{{field}}}",
            "--ssh-port",
            "1",
            "--timeout",
            "5",
        )
        ran = kinspect("trace", "svc/test-service", "-n", "default", *reach)
    assert ran.code == 3
    assert ran.out.replace("\n", "").isprintable()
    lines = ran.err.splitlines()
    assert len(lines) == len(HOSTILE), ran.err
    assert all(line.isprintable() and line.startswith("kinspect: ") for line in lines)
    assert not list(tmp_path.rglob("pwned*"))


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("{internal_ip}", "192.0.2.1"),
        ("{name}.corp.example", "n1.corp.example"),
        ("{hostname}", "host1"),
        ("{external_ip}", "2001:db8::1"),
        ("bastion-{name}", "bastion-n1"),
    ],
)
def test_the_template_of_addresses(target: str, address: str) -> None:
    addresses = {"InternalIP": "192.0.2.1", "ExternalIP": "2001:db8::1", "Hostname": "host1"}
    assert SshShell(SshOptions(target=target)).address(RemoteNode(NodeName("n1"), addresses)) == address


def test_a_template_of_what_nodes_do_not_have() -> None:
    with pytest.raises(CallError, match=r"there is no \{zone\}"):
        SshOptions(target="{zone}")
    with pytest.raises(NodeError, match="the API gives no ExternalIP for it"):
        SshShell(SshOptions(target="{external_ip}")).address(RemoteNode(NodeName("n"), {}))


def test_the_command_line_has_the_users_options_and_ends_options_before_the_host() -> None:
    shell = SshShell(SshOptions(user="ops", port=2222, options=("ProxyJump=gate",), target="{name}"))
    words = shell.command(RemoteNode(NodeName("n1"), {}))
    assert words[0] == "ssh"
    assert words[-2:] == ["--", "n1"]
    for pair in (["-p", "2222"], ["-l", "ops"], ["-o", "ProxyJump=gate"], ["-o", "BatchMode=yes"]):
        assert any(words[i : i + 2] == pair for i in range(len(words))), pair


@pytest.fixture
def cluster_over_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Both nodes of the story behind sshds that the user's ssh configuration names; node2 by a jump."""
    story = DATA / "story-1-both-nodes"
    # Each node's switches are those of a network namespace of its own, where forwarding is on.
    own = {
        "ForceCommand": f"{isolated('net')} sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward;"
        ' echo 1 > /proc/sys/net/ipv6/conf/all/forwarding; exec sh -c "$SSH_ORIGINAL_COMMAND"\''
    }
    with (
        sshd(tmp_path / "s1", own) as one,
        sshd(tmp_path / "s2", own) as two,
        ReplayServer(story, tmp_path) as api,
    ):
        config = ["Host *", "  GlobalKnownHostsFile /dev/null", "  IdentitiesOnly yes"]
        for name, server in (("node1", one), ("node2", two)):
            server.recorded(story / "nodes" / name)
            config += [f"Host {name}.corp.example", "  HostName 127.0.0.1", f"  Port {server.port}",
                       f"  IdentityFile {server.key}", f"  UserKnownHostsFile {server.known_hosts}"]  # fmt: skip
        config += ["Host node2.corp.example", "  ProxyJump node1.corp.example"]
        (tmp_path / "config").write_text("\n".join(config) + "\n")
        wrapped = tmp_path / "bin"
        wrapped.mkdir()
        # ssh takes the home folder from the user database, not from HOME: so the configuration is
        # named by a wrapper, for the jump as well, which ssh starts by its own name.
        program = wrapped / "ssh"
        program.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/config "$@"\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{wrapped}:/usr/bin:/bin:/usr/sbin")
        yield [
            "--kubeconfig",
            str(api.kubeconfig),
            "-n",
            "default",
            "--ssh-target",
            "{name}.corp.example",
            "--timeout",
            "20",
        ]


def test_a_live_cluster_gives_the_answer_of_its_recording(cluster_over_ssh: list[str]) -> None:
    live = kinspect("trace", "svc/test-service", "-o", "json", *cluster_over_ssh)
    assert (live.code, live.err) == (0, "")
    recorded = kinspect(
        "trace", "svc/test-service", "--snapshot", str(DATA / "story-1-both-nodes"), "-o", "json"
    )
    assert live.json["traces"] == recorded.json["traces"]
    assert live.json["destinations"] == recorded.json["destinations"]


def test_a_node_that_fails_is_named_and_the_other_answered(
    cluster_over_ssh: list[str], tmp_path: Path
) -> None:
    (tmp_path / "s2" / "authorized").write_text("")
    ran = kinspect("trace", "svc/test-service", "-o", "json", *cluster_over_ssh)
    assert ran.code == 3
    assert [trace["node"] for trace in ran.json["traces"]] == ["node1"]
    assert "kinspect: node2: permission denied" in ran.err
    (missing,) = ran.json["undetermined"]
    assert (missing["code"], missing["node"]) == ("not-read", "node2")
    assert missing["text"].startswith("node2: permission denied")


def test_no_node_is_asked_for_a_service_that_is_not_there(cluster_over_ssh: list[str]) -> None:
    ran = kinspect("trace", "svc/test-servise", *cluster_over_ssh)
    assert ran.code == 2
    assert "did you mean default/test-service?" in ran.err


def test_a_live_sender_that_is_a_pod(cluster_over_ssh: list[str]) -> None:
    ran = kinspect(
        "trace", "svc/test-service", "--from", "pod/test-server-2", "-o", "json", *cluster_over_ssh
    )
    assert (ran.code, ran.err) == (0, "")
    assert [(t["node"], t["packet"]["src"]) for t in ran.json["traces"]] == [("node2", "10.42.20.2")]


def test_readings_come_over_one_session_each_whole(server: Sshd) -> None:
    server.recorded(RECORDED)
    shell = SshShell(server.options())
    coming = shell.readings(NODE, 1)
    for _ in range(3):
        files = next(coming)
        assert files["iptables-save.txt"] == (RECORDED / "iptables-save.txt").read_bytes()
        assert set(files) == {"iptables-save.txt", "ip6tables-save.txt"}, "the rules alone"
    coming.close()
    assert (server.root / "sshd.log").read_text().count("Accepted publickey") == 1


def test_readings_end_on_the_node_when_nobody_reads_them(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("iptables-nft-save", f"echo $PPID > {server.root}/last; cat {RECORDED}/iptables-save.txt")
    coming = SshShell(server.options()).readings(NODE, 1)
    next(coming)
    coming.close()
    # The subshell of a reading is long gone; the loop itself must not begin another one.
    before = (server.root / "last").read_text()
    time.sleep(3)
    later = (server.root / "last").read_text()
    time.sleep(3)
    assert (server.root / "last").read_text() == later, f"still reading ({before})"


def test_a_session_that_is_closed_is_an_error_with_the_reason(server: Sshd) -> None:
    server.recorded(RECORDED)
    shell = SshShell(server.options())
    coming = shell.readings(NODE, 1)
    next(coming)
    shell.close()
    with pytest.raises(NodeError, match="interrupted"):
        list(coming)


def test_a_session_that_the_node_ends_is_an_error(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("sleep", "kill $PPID")
    coming = SshShell(server.options()).readings(NODE, 1)
    next(coming)
    with pytest.raises(NodeError, match=r"connection ended|cut before"):
        list(coming)


def test_a_node_that_cannot_be_reached_gives_the_reason_for_readings_too(
    server: Sshd, tmp_path: Path
) -> None:
    with pytest.raises(NodeError, match="connection refused"):
        next(SshShell(server.options(port=free_port())).readings(NODE, 1))
    server.recorded(RECORDED)
    server.tool("iptables-nft-save", "echo 'Permission denied (you must be root)' >&2; exit 4")
    with pytest.raises(NodeError, match="permission denied"):
        next(SshShell(server.options()).readings(NODE, 1))


def test_readings_that_do_not_come_are_given_up(server: Sshd) -> None:
    server.recorded(RECORDED)
    server.tool("iptables-nft-save", "exec /bin/sleep 60")
    with pytest.raises(NodeError, match="no reading within 3 s"):
        next(SshShell(server.options(timeout=2.0)).readings(NODE, 1))
