"""Each finding on a recording with one thing changed, and none of it where nothing was."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from kinspect.checks.audit.catalogue import KINDS
from tests.checks.altered import Altered, named_otherwise
from tests.cli.run import kinspect, validator
from tests.clusters import DATA

STORY = "story-1-both-nodes"
SVC = "KUBE-SVC-AEJ565DT7YN2S3PD"
TO_SERVICE = '-A KUBE-SERVICES -d 10.43.174.31/32 -p tcp -m comment --comment "default/test-service cluster IP" -m tcp --dport 80'
JUMP = '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'

NO_ENDPOINTS = '-A KUBE-SERVICES -d 10.43.174.31/32 -p tcp -m comment --comment "default/test-service has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable'
FLUSHED = "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT\n"


def audited(snapshot: object, *words: str) -> tuple[int, list[dict[str, Any]]]:
    ran = kinspect("audit", *words, "--snapshot", str(snapshot), "-o", "json")
    return ran.code, ran.json["findings"]


def of(findings: list[dict[str, Any]], code: str) -> dict[str, Any]:
    (found,) = [finding for finding in findings if finding["code"] == code]
    return found


def unready(slice_: Any) -> None:
    for endpoint in slice_["endpoints"]:
        if endpoint["addresses"] == ["10.42.20.2"]:
            endpoint["conditions"] = {"ready": False, "serving": False, "terminating": False}


def gone(slice_: Any) -> None:
    slice_["endpoints"] = [e for e in slice_["endpoints"] if e["addresses"] != ["10.42.20.2"]]


def given_to_another(items: list[Any]) -> None:
    """Another service has the address among its endpoints."""
    (own,) = [
        i
        for i in items
        if i["metadata"].get("labels", {}).get("kubernetes.io/service-name") == "test-service"
    ]
    other = json.loads(json.dumps(own))
    gone(own)
    other["metadata"]["name"] = "other-x"
    other["metadata"]["labels"]["kubernetes.io/service-name"] = "other"
    other["endpoints"] = [e for e in other["endpoints"] if e["addresses"] == ["10.42.20.2"]]
    items.append(other)


def local_policy(service: Any) -> None:
    service["spec"]["externalTrafficPolicy"] = "Local"


def another_service(items: list[Any]) -> None:
    (own,) = [i for i in items if i["metadata"]["name"] == "test-service"]
    other = json.loads(json.dumps(own))
    other["metadata"]["name"] = "other"
    other["spec"].update(clusterIP="None", clusterIPs=["None"], type="ClusterIP")
    items.append(other)


def host_ports(altered: Altered, *pods: str) -> Altered:
    """Rules of the portmap plugin for hostPort 8080 of these pods, in this order."""
    chains = [f"CNI-DN-{number:021d}" for number in range(len(pods))]
    rules = "".join(
        f"[0:0] -A {chain} -p tcp -m tcp --dport 8080 -j DNAT --to-destination {pod}:80\n"
        f"[0:0] -A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8080 -j {chain}\n"
        for chain, pod in zip(chains, pods, strict=True)
    )
    heads = "".join(f":{chain} - [0:0]\n" for chain in ("CNI-HOSTPORT-DNAT", *chains))
    altered.rules("node1", f":{SVC} - [0:0]\n", f":{SVC} - [0:0]\n{heads}")
    jump = "[0:0] -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n"
    return altered.rules("node1", f"[0:0] {JUMP}\n", f"[0:0] {JUMP}\n{jump}{rules}")


# What is changed, the finding that it makes, and a word of its text and of its evidence.
Change = Callable[[Altered], object]
CASES: dict[str, tuple[str, Change, str, str]] = {
    "KI101": (STORY, lambda a: a.each("endpointslices", "test-service", gone), "1/2 goes to 10.42.20.2:80", "--to-destination 10.42.20.2:80"),
    "KI102": (
        STORY,
        lambda a: a.objects("endpointslices", given_to_another).objects("services", another_service),
        "1/2 goes to 10.42.20.2:80",
        "--to-destination 10.42.20.2:80",
    ),
    "KI103": (STORY, lambda a: a.each("endpointslices", "test-service", unready), "1/2 goes to 10.42.20.2:80", "10.42.20.2:80"),
    "KI104": (
        STORY,
        lambda a: a.rules("node1", f'-A {SVC} -m comment --comment "default/test-service -> 10.42.19.2:80" -m statistic --mode random --probability 0.50000000000 -j', f"-A {SVC} -j"),
        "nothing goes to 10.42.20.2:80",
        "",
    ),
    "KI105": (STORY, lambda a: a.rules("node1", "--probability 0.50000000000", "--probability 0.25000000000"), "1/4 goes to 10.42.19.2:80", "10.42.19.2:80"),
    "KI106": (STORY, lambda a: a.rules("node1", f"{TO_SERVICE} -j {SVC}\n", "-A KUBE-SERVICES -d 10.43.0.99/32 -j RETURN\n"), "sent to no endpoint", ""),
    "KI107": (
        STORY,
        lambda a: a.rules("node1", f"{TO_SERVICE} -j {SVC}\n", "-A KUBE-SERVICES -d 10.43.0.99/32 -j RETURN\n").rules("node1", "-A KUBE-SERVICES -d 10.43.0.1/32", NO_ENDPOINTS + "\n[0:0] -A KUBE-SERVICES -d 10.43.0.1/32"),
        "rejected",
        "has no endpoints",
    ),
    "KI108": (
        STORY,
        lambda a: a.rules("node1", "-A FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\"", "-A FORWARD -d 10.42.20.2/32 -j DROP\n[0:0] -A FORWARD -m conntrack --ctstate NEW -m comment --comment \"kubernetes load balancer firewall\""),
        "1/2 is dropped",
        "-A FORWARD -d 10.42.20.2/32 -j DROP",
    ),
    "KI109": (
        STORY,
        lambda a: a.rules("node1", f"{JUMP}\n", f"-A PREROUTING -p tcp -m tcp --dport 31000 -j DNAT --to-destination 10.42.19.77:80\n[0:0] {JUMP}\n"),
        "all goes to 10.42.19.77:80",
        "-A PREROUTING -p tcp -m tcp --dport 31000",
    ),
    "KI110": (
        STORY,
        lambda a: a.rules("node1", "-A FORWARD -m comment", "-A FORWARD -j NFQUEUE --queue-num 3\n[0:0] -A FORWARD -m comment"),
        "handed to a program of the node",
        "NFQUEUE",
    ),
    "KI111": (STORY, lambda a: a.file("node1", "sysctl.txt", "net.ipv4.ip_forward = 1", "net.ipv4.ip_forward = 0"), "net.ipv4.ip_forward is 0", ""),
    "KI112": (STORY, lambda a: a.rules("node1", "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS", "-d 10.0.0.1/32 -j KUBE-NODEPORTS"), "not for its address 192.168.0.11", ""),
    "KI113": (STORY, lambda a: a.rules("node1", f"-A {SVC} ", "-A UNUSED ").rules("node1", f":{SVC} - [0:0]", f":{SVC} - [0:0]\n:UNUSED - [0:0]"), "is there and empty", ""),
    "KI114": (STORY, lambda a: a.objects("services", named_otherwise("test-service")).objects("endpointslices", named_otherwise("test-service")), "NodePort 31000 sends to 10.42.20.2:80", "--to-destination 10.42.20.2:80"),
    "KI115": (STORY, lambda a: a.each("services", "test-service", local_policy), "follow traffic policy Cluster", ""),
    "KI116": (STORY, lambda a: a.rules("node1", "*nat\n", "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n[0:0] -A PREROUTING -d 10.43.174.31/32 -j NOTRACK\nCOMMIT\n*nat\n"), "no interface of the node has the address", ""),
    "KI117": (STORY, lambda a: a.rules("node1", "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000", "-A KUBE-MARK-MASQ -j RETURN"), "without being masqueraded", "--to-destination 10.42.20.2:80"),
    "KI118": ("story-5-local-policy", lambda a: a.rules("node1", "-A POSTROUTING -m comment", "-A POSTROUTING -d 10.42.19.2/32 -j MASQUERADE\n[0:0] -A POSTROUTING -m comment"), "although policy Local keeps the client's address", "-A POSTROUTING -d 10.42.19.2/32 -j MASQUERADE"),
    "KI204": (STORY, lambda a: a.written("node1", "iptables-save.txt", FLUSHED).written("node1", "ip6tables-save.txt", FLUSHED), "flushed, or kube-proxy is not running", ""),
    "KI205": (STORY, lambda a: a.written("node1", "proxy-mode.txt", "").written("node2", "proxy-mode.txt", "iptables"), "its status port does not answer", ""),
    "KI119": (STORY, lambda a: host_ports(a, "10.42.19.77"), "hostPort 8080/tcp leads to 10.42.19.77:80, an address that no pod has", "--to-destination 10.42.19.77:80"),
    "KI123": (STORY, lambda a: host_ports(a, "10.42.19.2", "10.42.20.2"), "the rule to 10.42.20.2:80 is never reached, behind the one to 10.42.19.2:80", "--to-destination 10.42.20.2:80"),
    "KI124": (STORY, lambda a: a.each("services", "kubernetes", lambda s: s["spec"].update(externalIPs=["192.168.0.12"])), "192.168.0.12 is the address of node2 itself", ""),
    "KI125": (STORY, lambda a: a.each("services", "kubernetes", lambda s: s.update(status={"loadBalancer": {"ingress": [{"ip": "192.168.0.12"}]}})), "192.168.0.12 is the address of node2 itself", ""),
    "KI126": (STORY, lambda a: a.rules("node1", "-A FORWARD -m comment", "-A FORWARD -i eth9 -j MARK --set-xmark 0x1/0xffffffff\n[0:0] -A FORWARD -m comment"), "clears kube-proxy's masquerade bit (0x4000)", "-A FORWARD -i eth9 -j MARK"),
    "KI120": (STORY, lambda a: a, "no endpoint is ready", "has no endpoints"),
    "KI130": (STORY, lambda a: a.rules("node1", "--probability 0.50000000000", "--probability 0.25000000000"), "neither side has a majority: node1 / node2", ""),
    "KI201": (STORY, lambda a: a.without("nodes/node2"), "none of its rules were read", ""),
    "KI202": ("mode-nftables", lambda a: a, "nftables", ""),
    "KI301": (STORY, lambda a: a.rules("node1", f"[0:0] {JUMP}\n", ""), "nothing leads from PREROUTING of nat to KUBE-SERVICES", ""),
    "KI302": (STORY, lambda a: a.rules("node1", "-j KUBE-SEP-EXI76XK2HL6M2NII", "-j KUBE-SEP-GONE"), "no chain KUBE-SEP-GONE", "-j KUBE-SEP-GONE"),
    "KI303": (STORY, lambda a: a.rules("node1", f"{TO_SERVICE} -j", TO_SERVICE.replace(" -m tcp --dport 80", "") + " -j"), "for any port", "-A KUBE-SERVICES -d 10.43.174.31/32"),
}  # fmt: skip
GONE = "flows-3-pod-left"
CASES |= {
    "KI405": (
        STORY,
        lambda a: (a.path / "nodes/node1/conntrack.txt").write_text(
            "".join(
                f"tcp 6 431999 ESTABLISHED src=192.0.2.7 dst=10.43.174.31 sport={2000 + n} dport=80 src=10.42.{20 if n < 9 else 19}.2 dst=192.0.2.7 sport=80 dport={2000 + n} [ASSURED] use=1\n"
                for n in range(60)
            )
        ),
        "10.42.19.2:80 has 51 of 60 connections; its share of new ones is 1/2",
        "",
    ),
    "KI403": (GONE, lambda a: a.cordoned("node1"), "end on node1", ""),
    "KI404": (
        GONE,
        lambda a: (a.path / "nodes/node2/sysctl.txt").write_text("net.netfilter.nf_conntrack_count = 64\nnet.netfilter.nf_conntrack_max = 70\n"),
        "64 of 70 connections (91 %)",
        "",
    ),
    "KI402": (
        GONE,
        lambda a: (a.path / "nodes/node1/conntrack.txt").write_text(
            "udp 17 29 src=10.42.19.9 dst=10.43.81.108 sport=4 dport=53 [UNREPLIED] src=10.43.81.108 dst=10.42.19.9 sport=53 dport=4 use=1\n"
        ),
        "1 udp connection to 10.43.81.108:53, that no rule rewrote",
        "",
    ),
}  # fmt: skip
CONSEQUENCES: dict[str, list[str]] = {"KI104": ["KI303"]}
RECORDED = {"KI401": GONE, "KI121": "zoo-nft", "KI122": "zoo-nft", "KI203": "split-backends"}


def test_every_kind_has_a_case() -> None:
    assert set(KINDS) == {*CASES, *RECORDED}


@pytest.mark.parametrize("code", CASES)
def test_a_change_makes_its_finding(code: str, tmp_path: Path) -> None:
    cluster, change, text, evidence = CASES[code]
    altered = Altered(cluster, tmp_path)
    change(altered)
    exit_code, findings = audited(altered)
    found = next(finding for finding in findings if finding["code"] == code and text in finding["text"])
    assert evidence in " ".join(rule["rule"] for rule in found["evidence"])
    errors = [f["code"] for f in findings if f["severity"] == "error"]
    if found["severity"] == "error":
        assert set(errors) == {code, *CONSEQUENCES.get(code, [])}
        assert exit_code == 1
    else:
        assert errors == []
    unchanged = {finding["code"] for finding in audited(DATA / cluster)[1]}
    assert code not in unchanged or code in ("KI120", "KI202")


@pytest.mark.parametrize(("code", "cluster"), RECORDED.items())
def test_a_recording_has_its_finding(code: str, cluster: str) -> None:
    assert any(finding["code"] == code for finding in audited(DATA / cluster)[1])


@pytest.mark.parametrize(
    "cluster", [STORY, "story-2-node-relabelled", "story-3-pod-relabelled", "story-4-node2-cordoned", "story-5-local-policy", "zoo-nft", "zoo-legacy"]
)  # fmt: skip
def test_a_healthy_cluster_has_no_error_and_no_doubt(cluster: str) -> None:
    code, findings = audited(DATA / cluster)
    assert code == 0
    assert {f["severity"] for f in findings} <= {"warning", "info"}
    assert {f["code"] for f in findings} <= {"KI120", "KI121", "KI122"}
    assert not any(f["conditions"] for f in findings)


def test_a_stale_node_is_named_with_its_rule_and_the_ways_in() -> None:
    code, findings = audited(DATA / "story-6-node1-stale")
    stale = of(findings, "KI101")
    assert code == 1
    assert stale["nodes"] == ["node1"]
    assert stale["service"] == {"namespace": "default", "name": "test-service"}
    assert any("cluster IP 10.43.174.31:80" in way for way in stale["ways"])
    assert stale["evidence"][0]["source"] == "node1/iptables-save.txt"
    lines = (DATA / "story-6-node1-stale/nodes/node1/iptables-save.txt").read_text().splitlines()
    assert lines[stale["evidence"][0]["line"] - 1].endswith(stale["evidence"][0]["rule"])


def test_chains_that_nothing_leads_to_are_no_finding(tmp_path: Path) -> None:
    altered = Altered(STORY, tmp_path).rules(
        "node1",
        ":KUBE-SVC-AEJ565DT7YN2S3PD - [0:0]\n",
        ":KUBE-SVC-AEJ565DT7YN2S3PD - [0:0]\n:KUBE-SEP-OLDOLDOLDOLDOLDO - [0:0]\n",
    )
    altered.rules(
        "node1",
        f"[0:0] -A {SVC} !",
        f"[0:0] -A KUBE-SEP-OLDOLDOLDOLDOLDO -p tcp -m tcp -j DNAT --to-destination 10.42.20.99:80\n[0:0] -A {SVC} !",
    )
    code, findings = audited(altered)
    assert code == 0
    assert {finding["code"] for finding in findings} == {"KI120"}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN", "-A KUBE-POSTROUTING -j RETURN", "returns packets with any mark"),
        ("--to-destination 10.42.20.2:80", "--to-destination :0 --persistent", "a DNAT has no address"),
    ],
)  # fmt: skip
def test_a_part_that_rules_lost_is_named(tmp_path: Path, old: str, new: str, text: str) -> None:
    _, findings = audited(Altered(STORY, tmp_path).rules("node1", old, new))
    found = of(findings, "KI303")
    assert text in found["text"]
    assert "--transport exec" in found["todo"]
    assert findings[0] == found


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("*mangle PREROUTING -j MARK --set-xmark 0x4000/0x4000", True),
        ("*mangle PREROUTING -j MARK --set-xmark 0x1/0xffffffff", False),
        ("*mangle POSTROUTING -j MARK --set-xmark 0x0/0x4000", True),
        ("*mangle POSTROUTING -j MARK --set-xmark 0x40000/0xff0000", False),
        ("*mangle FORWARD -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", True),
        ("*mangle PREROUTING -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", False),
    ],
)
def test_a_mark_counts_where_it_has_an_effect_on_kube_proxys(tmp_path: Path, rule: str, found: bool) -> None:
    table, hook, rest = rule.split(" ", 2)
    text = f"{table}\n:{hook} ACCEPT [0:0]\n:OTHERS - [0:0]\n[0:0] -A {hook} -j OTHERS\n[0:0] -A OTHERS {rest}\nCOMMIT\n*nat\n"
    altered = Altered(STORY, tmp_path)
    (node,) = [altered.path / "nodes" / "node1" / "iptables-save.txt"]
    lines = re.sub(r"(?ms)^\*mangle$.*?^COMMIT\n", "", node.read_text())
    node.write_text(lines.replace("*nat\n", text))
    assert ("KI126" in {each["code"] for each in audited(altered)[1]}) is found


def test_a_host_port_of_one_address_leaves_the_others_their_own(tmp_path: Path) -> None:
    altered = host_ports(Altered(STORY, tmp_path), "10.42.19.2", "10.42.20.2")
    altered.rules(
        "node1",
        "-A CNI-DN-000000000000000000000 -p tcp",
        "-A CNI-DN-000000000000000000000 -d 192.168.0.11/32 -p tcp",
    )
    assert {"KI119", "KI123"}.isdisjoint({each["code"] for each in audited(altered)[1]})


def test_a_host_port_is_not_judged_without_all_pods(tmp_path: Path) -> None:
    altered = host_ports(Altered(STORY, tmp_path), "10.42.19.77")
    manifest = {"kind": "Capture", "format": 1, "namespace": "default"}
    (altered.path / "manifest.json").write_text(json.dumps(manifest))
    assert "KI119" not in {each["code"] for each in audited(altered)[1]}
    ran = kinspect("trace", "192.168.0.11:8080", "--node", "node1", "--snapshot", str(altered))
    assert "no pod has 10.42.19.77, an address of node1's pod network: its pod is gone" in ran.err


def test_what_changed_while_it_was_captured_is_not_judged(tmp_path: Path) -> None:
    folder = tmp_path / "captured"
    shutil.copytree(DATA / "story-6-node1-stale", folder)
    manifest = {"kind": "Capture", "format": 1, "changed": ["default/test-service"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    code, findings = audited(folder)
    stale = of(findings, "KI101")
    assert (code, stale["severity"], stale["moved"]) == (3, "warning", True)


def test_what_is_only_possible_is_a_warning_and_not_determined(tmp_path: Path) -> None:
    altered = Altered(STORY, tmp_path).rules(
        "node1",
        "-A FORWARD -m comment",
        "-A FORWARD -m limit --limit 5/min -j DROP\n[0:0] -A FORWARD -m comment",
    )
    code, findings = audited(altered)
    assert code == 3
    found = of(findings, "KI108")
    assert found["severity"] == "warning"
    assert "limit" in found["conditions"][0]


def test_services_and_namespaces_narrow_it() -> None:
    snapshot = DATA / "story-6-node1-stale"
    assert audited(snapshot, "svc/kubernetes")[0] == 0
    ran = kinspect("audit", "-n", "typo", "--snapshot", str(snapshot))
    assert (ran.code, ran.err) == (
        2,
        "kinspect: there is no service in namespace typo (kubectl get services -A)\n",
    )
    ran = kinspect("audit", "typo/*", "--snapshot", str(snapshot))
    assert (ran.code, ran.out) == (2, "")
    ran = kinspect("audit", "svc/nobody", "--snapshot", str(snapshot))
    assert ran.code == 2
    assert ran.err == "kinspect: there is no service nobody (kubectl get services -A lists them)\n"


def test_a_service_that_is_not_in_the_api_any_more_can_be_named(tmp_path: Path) -> None:
    altered = Altered(STORY, tmp_path).objects("services", named_otherwise("test-service"))
    code, findings = audited(altered, "svc/test-service")
    assert code == 1
    assert {finding["code"] for finding in findings} == {"KI114"}


def test_a_service_that_came_while_it_was_read_is_not_unowned(tmp_path: Path) -> None:
    altered = Altered(STORY, tmp_path).objects("services", named_otherwise("test-service"))
    manifest = {"kind": "Capture", "format": 1, "changed": ["default/test-service"]}
    (altered.path / "manifest.json").write_text(json.dumps(manifest))
    assert "KI114" not in {finding["code"] for finding in audited(altered)[1]}


def test_without_a_service_in_scope_nothing_was_audited() -> None:
    ran = kinspect("audit", "shop/headless", "--snapshot", str(DATA / "zoo-nft"), "-o", "json")
    assert ran.code == 3
    assert [entry["code"] for entry in ran.json["undetermined"]] == ["nothing-audited"]


def test_a_severity_can_fail_it() -> None:
    snapshot = DATA / STORY
    assert audited(snapshot)[0] == 0
    assert audited(snapshot, "--fail-on", "warning")[0] == 1
    assert audited(snapshot, "default/test-service", "--fail-on", "warning")[0] == 0


def test_with_a_baseline_only_new_findings_count(tmp_path: Path) -> None:
    stale, baseline = DATA / "story-6-node1-stale", tmp_path / "known.json"
    ran = kinspect("audit", "--snapshot", str(stale), "--write-baseline", str(baseline))
    assert (ran.code, ran.err) == (0, f"kinspect: {baseline}: 3 findings written\n")
    assert baseline.stat().st_mode & 0o777 == 0o600
    valid_baseline = json.loads(baseline.read_text())
    validator("AuditBaseline").validate(valid_baseline)
    code, findings = audited(stale, "--baseline", str(baseline))
    assert code == 0
    assert all(finding["known"] for finding in findings)
    # The same kind at another node is new.
    other = Altered("story-6-node1-stale", tmp_path)
    shutil.copytree(stale / "nodes" / "node1", other.path / "nodes" / "node2", dirs_exist_ok=True)
    code, findings = audited(other, "--baseline", str(baseline))
    assert code == 1
    assert "KI101" in {f["code"] for f in findings if not f["known"] and f["severity"] == "error"}
    # What was known when it was written stays out of it, wherever rules stand now.
    moved = Altered("story-6-node1-stale", tmp_path / "moved").rules(
        "node1", "*nat\n", "# a line more\n*nat\n"
    )
    assert audited(moved, "--baseline", str(baseline))[0] == 0
    suite = ET.fromstring(
        kinspect("audit", "--snapshot", str(stale), "--baseline", str(baseline), "-o", "junit").out
    )
    assert suite.get("failures") == "0"


def test_what_is_no_baseline_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"kind": "Audit"}')
    for name, says in (("other.json", "is no baseline of an audit"), ("none.json", "cannot be read")):
        ran = kinspect("audit", "--demo", "--baseline", str(tmp_path / name))
        assert (ran.code, ran.out) == (2, "")
        assert says in ran.err


def test_forms_for_machines_say_the_same() -> None:
    snapshot = str(DATA / "story-6-node1-stale")
    junit = ET.fromstring(kinspect("audit", "--snapshot", snapshot, "-o", "junit").out)
    failures = [case.get("name") for case in junit.iter("testcase") if case.find("failure") is not None]
    assert failures == ["KI101 stale endpoint"]
    assert junit.get("failures") == "1"
    assert junit.get("tests") == str(len(KINDS))
    github = kinspect("audit", "--snapshot", snapshot, "-o", "github").out.splitlines()
    assert github[0].startswith("::error title=kinspect audit::")
    assert any(
        line.startswith("::error title=KI101 stale endpoint%3A default/test-service::") for line in github
    )


def test_explain_has_a_page_for_every_code() -> None:
    listed = kinspect("explain").out.splitlines()
    assert [line.split()[0] for line in listed[: len(KINDS)]] == sorted(KINDS)
    for code, kind in KINDS.items():
        page = kinspect("explain", code.lower(), columns=80)
        assert page.code == 0
        assert page.out.startswith(f"{code} · {kind.title}")
        assert "What to do:" in page.out
    assert kinspect("explain", "KI999").code == 2
