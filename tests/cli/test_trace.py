"""The command line of trace: its contract, its errors, its exit codes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.run import kinspect
from tests.clusters import DATA

ZOO = ("--snapshot", str(DATA / "zoo-nft"))
DUMP = DATA / "story-1-both-nodes" / "nodes" / "node1" / "iptables-save.txt"


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        pytest.param(["trace"], 2, "nothing to trace", id="no target"),
        pytest.param(["trace", "svc/nope", "--demo"], 2, "there is no service default/nope", id="no such service"),
        pytest.param(["trace", "svc/test-servic", "--demo"], 2, "did you mean default/test-service?", id="a near name"),
        pytest.param(["trace", "svc/web", "--snapshot", str(DATA / "zoo-nft")], 2, "did you mean shop/web?", id="another namespace"),
        pytest.param(["trace", "shop/headless", *ZOO], 2, "headless", id="headless"),
        pytest.param(["trace", "svc/test-service:81", "--demo"], 2, "has no port 81 (it has: 80)", id="no such port"),
        pytest.param(["trace", "svc/test-service", "--demo", "--via", "loadbalancer"], 2, "has no load-balancer address", id="no such way in"),
        pytest.param(["trace", ":31999", "--demo"], 2, "no service has the NodePort 31999/tcp", id="no such NodePort"),
        pytest.param(["trace", "svc/test-service", "--demo", "--node", "node9"], 2, "there is no node node9 in the demo snapshot (it has: node1, node2)", id="no such node"),
        pytest.param(["trace", "svc/test-service", "--demo", "--entry", "node9"], 2, "there is no node node9", id="no such entry node"),
        pytest.param(["trace", "svc/test-service", "--demo", "--entry", "node1=x"], 2, "cannot read --entry 'node1=x'", id="a weight that is no number"),
        pytest.param(["trace", "svc/test-service", "--demo", "--entry", "node1=1e999999999"], 2, "cannot read --entry", id="a weight without end"),
        pytest.param(["trace", "svc/test-service", "--demo", "--from", "pod/nope"], 2, "there is no pod default/nope", id="no such pod"),
        pytest.param(["trace", "svc/test-service", "--demo", "--from", "what"], 2, "cannot read --from 'what'", id="an unreadable sender"),
        pytest.param(["trace", "pod/web", "--demo"], 2, "only a service or an address can", id="a pod as the target"),
        pytest.param(["trace", "10.43.174.31", "--demo"], 2, "has no port", id="an address without a port"),
        pytest.param(["trace", "10.43.174.31:99999", "--demo"], 2, "not a port", id="a port out of range"),
        pytest.param(["trace", "300.1.2.3:80", "--demo"], 2, "not an address", id="an address that is none"),
        pytest.param(["trace", "svc/test-service", "--demo", "--snapshot", "x"], 2, "exclude each other", id="two sources"),
        pytest.param(["trace", "svc/a", "--packet", "IP()", "--demo"], 2, "exclude each other", id="a target and a packet"),
        pytest.param(["trace", "svc/test-service", "--snapshot", "/nowhere"], 2, "/nowhere: there is no such file or folder", id="no such snapshot"),
        pytest.param(["trace", "svc/test-service", "--snapshot", str(DATA)], 2, "neither api/ nor nodes/", id="a folder that is no snapshot"),
        pytest.param(["trace", "svc/test-service", "--snapshot", str(DATA / "story-1-both-nodes/api/nodes.json")], 2, "not a snapshot archive", id="a file that is no archive"),
        pytest.param(["trace", "svc/nobody", "--rules", str(DUMP)], 2, "no comment of these rules names a service nobody", id="rules know no such service"),
        pytest.param(["trace", "10.43.174.31:80", "--rules", "/nowhere"], 2, "/nowhere: cannot be read", id="no such rules"),
        pytest.param(["trace", "svc/test-service", "--demo", "--index", "2"], 2, "--index is the number of a packet", id="an index without a capture"),
        pytest.param(["trace", "--bogus"], 2, "--bogus", id="an unknown option"),
        pytest.param(["trace", "svc/x", "-o", "csv"], 2, "csv", id="an unknown form"),
        pytest.param(["bogus"], 2, "bogus", id="an unknown command"),
        pytest.param(["trace", "svc/test-service", "--snapshot", str(DATA / "mode-nftables")], 3, "kube-proxy runs in nftables mode there", id="nftables mode is said, not traced"),
    ],
)  # fmt: skip
def test_a_wrong_call_gets_one_clear_line(argv: list[str], code: int, says: str) -> None:
    ran = kinspect(*argv)
    assert ran.code == code
    assert says in ran.err
    assert all(line.startswith("kinspect: ") for line in ran.err.splitlines())
    if code == 2:
        assert ran.out == ""
        assert len(ran.err.splitlines()) == 1


def test_without_a_kubeconfig_the_other_sources_are_named() -> None:
    ran = kinspect("trace", "svc/test-service")
    assert ran.code == 2
    assert "--snapshot" in ran.err
    assert "--demo" in ran.err


def test_version_and_help() -> None:
    assert kinspect("--version").out.startswith("kinspect ")
    assert kinspect("--version").code == 0
    shown = kinspect("trace", "--help")
    assert shown.code == 0
    for option in (
        "--from",
        "--via",
        "--entry",
        "--packet",
        "--pcap",
        "--rules",
        "--local",
        "--explain",
        "--output",
    ):
        assert option in shown.out


def test_rules_by_hand_need_no_cluster() -> None:
    ran = kinspect(
        "trace", "192.168.0.11:31000", "--rules", f"n1={DUMP}", "--local", "192.168.0.11", "-o", "json"
    )
    assert ran.code == 0, ran.err
    (trace,) = ran.json["traces"]
    assert (trace["node"], trace["via"]) == ("n1", "packet")
    assert {o["to"]: o["probability"] for o in trace["outcomes"]} == {
        "10.42.19.2:80": "1/2",
        "10.42.20.2:80": "1/2",
    }
    assert {o["snat"] for o in trace["outcomes"]} == {"masquerade"}, "no snapshot tells the address"
    assert ran.json["service"] is None


def test_rules_come_from_standard_input() -> None:
    packet = 'IP(src="192.168.0.1",dst="192.168.0.11")/TCP(dport=31000)'
    ran = kinspect(
        "trace",
        "--rules",
        "-",
        "--local",
        "192.168.0.11",
        "--packet",
        packet,
        "-o",
        "json",
        stdin=DUMP.read_bytes(),
    )
    assert ran.code == 0, ran.err
    assert [o["to"] for o in ran.json["traces"][0]["outcomes"]] == ["10.42.19.2:80", "10.42.20.2:80"]


def test_without_the_hosts_addresses_the_answer_is_bounds_and_names_the_question() -> None:
    ran = kinspect("trace", "192.168.0.11:31000", "--rules", str(DUMP), "-o", "json")
    assert ran.code == 3
    outcomes = {o["to"]: o for o in ran.json["traces"][0]["outcomes"]}
    assert outcomes["10.42.19.2:80"]["bounds"] == [0.0, 0.5]
    assert "192.168.0.11 is an address of this host" in outcomes["10.42.19.2:80"]["conditions"]


def test_a_dump_cut_short_names_file_and_line(tmp_path: Path) -> None:
    cut = tmp_path / "cut.txt"
    cut.write_bytes(DUMP.read_bytes()[:3000])
    ran = kinspect("trace", "192.168.0.11:31000", "--rules", str(cut))
    assert ran.code == 2
    assert "cut short" in ran.err
    assert f"{len(DUMP.read_bytes()[:3000].splitlines())}" in ran.err


def test_a_node_that_cannot_be_read_does_not_stop_the_others(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "half"
    shutil.copytree(DATA / "story-1-both-nodes", folder)
    broken = folder / "nodes" / "node2" / "iptables-save.txt"
    broken.write_bytes(broken.read_bytes()[:2000])
    ran = kinspect("trace", "svc/test-service", "--snapshot", str(folder), "-o", "json")
    assert ran.code == 3
    assert [trace["node"] for trace in ran.json["traces"]] == ["node1"]
    assert "node2/iptables-save.txt" in ran.err


def test_an_archive_is_a_snapshot_too(tmp_path: Path) -> None:
    import tarfile

    archive = tmp_path / "incident.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(DATA / "story-1-both-nodes", "incident")
    folder = kinspect(
        "trace", "svc/test-service", "--snapshot", str(DATA / "story-1-both-nodes"), "-o", "json"
    )
    ran = kinspect("trace", "svc/test-service", "--snapshot", str(archive), "-o", "json")
    assert ran.code == 0
    assert ran.json == folder.json


def test_yaml_says_the_same_as_json() -> None:
    import yaml

    as_json = kinspect("trace", "svc/test-service", "--demo", "-o", "json").json
    assert yaml.safe_load(kinspect("trace", "svc/test-service", "--demo", "-o", "yaml").out) == as_json


def test_the_json_has_every_field_of_the_contract() -> None:
    document = kinspect("trace", "svc/test-service", "--demo", "-o", "json").json
    assert {"apiVersion", "kind", "service", "traces", "destinations", "warnings"} <= document.keys()
    assert (document["apiVersion"], document["kind"]) == ("kinspect/v1", "Trace")
    assert document["service"] == {"namespace": "default", "name": "test-service", "type": "NodePort"}
    trace = document["traces"][0]
    assert {"node", "via", "packet", "outcomes", "notes"} <= trace.keys()
    assert trace["packet"] == {
        "protocol": "tcp", "src": "203.0.113.1", "sport": 40000, "dst": "192.168.0.11", "dport": 31000, "iif": "eth0",
    }  # fmt: skip
    outcome = trace["outcomes"][0]
    assert {
        "verdict", "to", "dnat", "snat", "probability", "share", "bounds", "conditions", "endpoint", "path",
    } <= outcome.keys()  # fmt: skip
    assert {"namespace", "pod", "node"} <= outcome["endpoint"].keys()
    lines = DUMP.read_text().splitlines()
    for step in outcome["path"]:
        assert {"hook", "table", "chain", "line", "rule"} == step.keys()
        assert lines[step["line"] - 1].endswith(step["rule"])


def test_a_target_may_be_an_address_or_a_node_port() -> None:
    by_name = kinspect("trace", "svc/test-service", "--demo", "--via", "clusterip", "-o", "json").json
    by_address = kinspect("trace", "10.43.174.31:80", "--demo", "-o", "json").json
    assert by_address["service"] == by_name["service"]
    assert [t["outcomes"] for t in by_address["traces"]] == [t["outcomes"] for t in by_name["traces"]]
    by_port = kinspect("trace", ":31000", "--demo", "-o", "json").json
    assert by_port["traces"] == kinspect("trace", "svc/test-service", "--demo", "-o", "json").json["traces"]
    one = kinspect("trace", "192.168.0.12:31000", "--demo", "-o", "json").json
    assert [t["node"] for t in one["traces"]] == ["node2"]


def test_families_can_be_narrowed() -> None:
    def families(*argv: str) -> set[int]:
        document = kinspect("trace", "shop/dual", *ZOO, "-o", "json", *argv).json
        return {6 if ":" in t["packet"]["dst"] else 4 for t in document["traces"]}

    assert families() == {4, 6}
    assert families("-4") == {4}
    assert families("-6") == {6}


def test_all_ways_in_are_traced_when_asked() -> None:
    document = kinspect("trace", "shop/edge", *ZOO, "--via", "all", "-o", "json").json
    assert {trace["via"] for trace in document["traces"]} == {"clusterip", "nodeport", "loadbalancer"}


def test_source_ranges_are_said_and_another_client_can_be_traced() -> None:
    refused = kinspect("trace", "shop/web:http", *ZOO, "-o", "json").json
    assert {o["verdict"] for t in refused["traces"] for o in t["outcomes"]} == {"DROP"}
    assert "loadBalancerSourceRanges admits" in refused["remarks"][0]["text"]
    let_in = kinspect("trace", "shop/web:http", *ZOO, "--from", "198.51.100.9", "-o", "json").json
    assert {o["verdict"] for t in let_in["traces"] for o in t["outcomes"]} == {"ACCEPT"}


def test_established_packets_meet_no_nat_rule() -> None:
    packet = 'IP(src="203.0.113.1",dst="192.168.0.11")/TCP(sport=40000,dport=31000,flags="A")'
    ran = kinspect(
        "trace", "--packet", packet, "--demo", "--node", "node1", "--ctstate", "established", "-o", "json"
    )
    assert ran.code == 3
    assert "connection tracking rewrites this packet" in ran.out
    for trace in ran.json["traces"]:
        assert {(o["dnat"], o["missing"]) for o in trace["outcomes"]} == {
            (False, None),
            (False, "its connection"),
        }
        assert any("no nat rule is asked" in note for note in trace["notes"])


def test_explain_names_every_rule_of_the_visited_chains_and_why() -> None:
    ran = kinspect("trace", "svc/test-service", "--demo", "--node", "node1", "--explain", "-o", "json")
    considered = ran.json["traces"][0]["considered"]
    by_chain = [
        entry for entry in considered if entry["chain"] == "KUBE-SERVICES" and entry["table"] == "nat"
    ]
    rules = [line for line in DUMP.read_text().splitlines() if " -A KUBE-SERVICES " in line]
    assert len(by_chain) >= len([r for r in rules if "KUBE-SVC" in r or "NODEPORTS" in r])
    assert any(e["matched"] is False and "the destination is 192.168.0.11" in e["why"] for e in by_chain)
    assert any(e["matched"] is None and "a draw" in e["why"] for e in considered)
    shown = kinspect("trace", "svc/test-service", "--demo", "--node", "node1", "--explain")
    assert "the destination is 192.168.0.11" in shown.out


def test_both_back_ends_give_bounds_and_the_question() -> None:
    ran = kinspect(
        "trace",
        "svc/test-service",
        "--snapshot",
        str(DATA / "split-backends"),
        "--node",
        "node1",
        "-o",
        "json",
    )
    assert ran.code == 3
    outcomes = {o["to"]: o for o in ran.json["traces"][0]["outcomes"]}
    assert outcomes["10.42.19.2:80"]["bounds"] == [0.5, 1.0]
    assert outcomes["10.42.20.2:80"]["bounds"] == [0.0, 0.5]
    assert "are asked before those of" in outcomes["10.42.20.2:80"]["conditions"][0]
    (warning,) = ran.json["warnings"]
    assert warning.startswith(
        "node1: kube-proxy's rules are in both back ends and send this to different places"
    )
    assert any("0 in legacy" in note and "0 in nft" in note for note in ran.json["traces"][0]["notes"])


def test_which_back_end_has_the_rules_is_said_where_only_one_has() -> None:
    snapshot = str(DATA / "split-backends")
    ran = kinspect("trace", "svc/test-service", "--snapshot", snapshot, "--node", "node2", "-o", "json")
    assert ran.code == 0
    assert not ran.json["warnings"]
    assert "those of legacy (node2/iptables-legacy-save.txt)" in " ".join(ran.json["traces"][0]["notes"])


def test_missing_files_are_replaced_by_what_the_api_says_and_that_is_noted(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "bare"
    shutil.copytree(DATA / "story-1-both-nodes", folder)
    for node in ("node1", "node2"):
        for path in (folder / "nodes" / node).iterdir():
            if path.name not in ("iptables-save.txt", "ip6tables-save.txt"):
                path.unlink()
    ran = kinspect("trace", "svc/test-service", "--snapshot", str(folder), "-o", "json")
    assert ran.code == 0, ran.err
    trace = ran.json["traces"][0]
    assert {o["to"]: (o["probability"], o["snat"]) for o in trace["outcomes"]} == {
        "10.42.19.2:80": ("1/2", "masquerade"),
        "10.42.20.2:80": ("1/2", "masquerade"),
    }
    assert any("no ip-addr.json" in note for note in trace["notes"])
    assert any("no ip-route.json" in note for note in trace["notes"])


def test_hostile_names_reach_no_terminal(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "hostile"
    shutil.copytree(DATA / "story-1-both-nodes", folder)
    slices = folder / "api" / "endpointslices.json"
    slices.write_text(slices.read_text().replace("test-server-2", "\\u001b[2J[red]gone[/red]\\u202e"))
    dump = folder / "nodes" / "node1" / "iptables-save.txt"
    dump.write_bytes(dump.read_bytes().replace(b"masquerade traffic for", b"\x1b]0;owned\x07[bold]\xff for"))
    for form in ("table", "wide"):
        ran = kinspect("trace", "svc/test-service", "--snapshot", str(folder), "-o", form, "--explain")
        assert ran.code == 0, ran.err
        assert "\x1b" not in ran.out
        assert "\x07" not in ran.out
        assert "\u202e" not in ran.out
        assert "[red]gone[/red]" in ran.out
    json.loads(kinspect("trace", "svc/test-service", "--snapshot", str(folder), "-o", "json").out)


@pytest.mark.parametrize("columns", [80, 140])
@pytest.mark.parametrize(
    ("name", "argv"),
    [
        ("story-1", ["svc/test-service", "--demo"]),
        (
            "story-6-clusterip",
            ["svc/test-service", "--snapshot", str(DATA / "story-6-node1-stale"), "--via", "clusterip"],
        ),
        ("zoo-wide", ["shop/wide", *ZOO]),
        ("zoo-local", ["shop/live-one-local", *ZOO]),
        ("story-1-wide", ["svc/test-service", "--demo", "--node", "node1", "-o", "wide"]),
    ],
)
def test_what_people_read(golden, name: str, argv: list[str], columns: int) -> None:  # type: ignore[no-untyped-def]
    ran = kinspect("trace", *argv, columns=columns)
    assert ran.code == 0, ran.err
    assert all(len(line) <= columns for line in ran.out.splitlines())
    golden.check(f"{name}-{columns}.txt", ran.out)


def test_without_a_command_the_help_is_shown() -> None:
    ran = kinspect()
    assert (ran.code, ran.err) == (0, "")
    for command in ("trace", "check", "audit", "explain", "capture"):
        assert f"\n  {command} " in ran.out


def test_only_the_command_that_was_typed_is_imported() -> None:
    code = (
        "import sys; sys.argv = ['kinspect', 'explain', '--help']\n"
        "from kinspect.cli.app import run\n"
        "try:\n    run()\nexcept SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.startswith(('kinspect.parse', 'kinspect.evaluate', 'scapy', 'kubernetes', 'msgspec'))), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"


def test_a_node_whose_rules_fork_without_end_does_not_take_the_other_s_answer_away(tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    shutil.copytree(DATA / "story-1-both-nodes", snapshot)
    rules = snapshot / "nodes" / "node2" / "iptables-save.txt"
    draws = "".join(
        f"-A PREROUTING -m statistic --mode random --probability 0.5 -j MARK --set-xmark {1 << n:#x}/{1 << n:#x}\n"
        for n in range(32)
    )
    head, mark, rest = rules.read_text().partition("COMMIT\n")  # the first table is mangle
    rules.write_text(f"{head}{draws}{mark}{rest}")
    ran = kinspect("trace", "svc/test-service", "--snapshot", str(snapshot), "-o", "json")
    assert ran.code == 3
    assert "node2/iptables-save.txt: table mangle: its rules fork more than can be followed" in ran.err
    (trace,) = json.loads(ran.out)["traces"]
    assert trace["node"] == "node1"
    assert sum(outcome["share"] for outcome in trace["outcomes"]) == pytest.approx(1)
