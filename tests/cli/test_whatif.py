"""``kinspect whatif`` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.run import kinspect
from tests.clusters import DATA

BEFORE = ("--snapshot", str(DATA / "changes/before"))
SERVICE = "svc/test-service"


def test_the_answer_comes_in_a_sentence_first() -> None:
    ran = kinspect("whatif", SERVICE, "--without", "pod/test-server-2", "--demo", columns=120)
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "If pod default/test-server-2 is gone:"
    assert lines[1] == (
        "Service default/test-service: test-server-2 on node2 gets no more traffic; test-server-1 on node1 gets more."
    )
    assert "10.42.20.2:80  test-server-2 on node2  1/2 → -    1/2 → -    1/2 → -" in ran.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--cordon", "node/node2"), "Cordoning node2 changes no rule"),
        (("--relabel", "node/node2:app=x"), "Labels of node node2 change no rule"),
        (("--relabel", "pod/test-server-2:tier=x"), "No service selects pod default/test-server-2 by these labels"),
        (("--set", "externalTrafficPolicy=Cluster"), "spec.externalTrafficPolicy is so already"),
        (("--drain", "node/node2"), "default/test-server-2 will not be replaced"),
        (("--delete", SERVICE), "10.43.174.31:80 and NodePort 31000/tcp lead nowhere"),
        (("--set", "type=ClusterIP"), "NodePort 31000/tcp is no longer served"),
        (("--set", "type=LoadBalancer"), "has no load-balancer address: the provider will choose it"),
        (("--set", "externalTrafficPolicy=Local"), "get only what enters at their own nodes"),
        (("--set", "externalTrafficPolicy=Local", "--without", "pod/test-server-2"), "everything that enters at node2 is dropped"),
        (("--unready", "pod/test-server-1", "--unready", "pod/test-server-2"), "everything that enters at node1 and node2 is refused"),
        (("--add", "test-service@node1"), "stands for the pod address of default/test-server-1-new1"),
        (("--terminating", "pod/test-server-2"), "Connections to a terminating pod last until it closes them"),
    ],
)  # fmt: skip
def test_what_follows_is_said(words: tuple[str, ...], said: str) -> None:
    ran = kinspect("whatif", SERVICE, *words, "--demo", columns=300)
    assert ran.code == 0, ran.err
    assert said in ran.out


def test_changes_are_made_in_the_order_typed() -> None:
    off = kinspect(
        "whatif",
        SERVICE,
        "--relabel",
        "pod/test-server-2:app=x",
        "--relabel=pod/test-server-2:app=test-server",
        "--demo",
    )
    assert "Nothing changes for default/test-service." in off.out
    on = kinspect("whatif", "--uncordon", "node/node2", "--cordon", "node/node2", "--demo", "-o", "json").json
    assert [change["change"] for change in on["changes"]] == ["uncordon", "cordon"]


def test_the_document() -> None:
    found = kinspect("whatif", SERVICE, "--set", "externalTrafficPolicy=Local", "--demo", "-o", "json").json
    assert (found["apiVersion"], found["kind"], found["exitCode"]) == ("kinspect/v1", "WhatIf", 0)
    (change,) = found["changes"]
    assert change == {
        "change": "set",
        "text": "spec.externalTrafficPolicy of service default/test-service is set to Local",
        "service": ["default", "test-service"],
        "path": ["spec", "externalTrafficPolicy"],
        "value": "Local",
    }
    assert found["before"]["kind"] == found["after"]["kind"] == "Trace"
    lost = [(d["node"], d["to"]) for d in found["differences"] if d["after"]["share"] == 0]
    assert lost == [("node1", "10.42.20.2:80"), ("node2", "10.42.19.2:80")]
    assert {"node": "node1", "family": 4, "setting": "masquerade mark", "value": "0x4000", "rule": "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000"} in found["inferred"]  # fmt: skip
    assert found["rewritten"] == [{"node": "node1", "chains": 2}, {"node": "node2", "chains": 2}]


def test_the_predicted_cluster_is_a_snapshot_of_either_form(tmp_path: Path) -> None:
    folder, archive = tmp_path / "after", tmp_path / "after.tar.gz"
    change = ("whatif", SERVICE, "--set", "externalTrafficPolicy=Local", "--demo", "--write-snapshot")
    for place in (folder, archive):
        ran = kinspect(*change, str(place))
        assert (ran.code, ran.err) == (0, f"kinspect: {place}: the predicted cluster (--snapshot {place})\n")
        assert kinspect("check", "in-sync", "--snapshot", str(place)).code == 0
        again = kinspect("trace", SERVICE, "--snapshot", str(place), "-o", "json").json
        predicted = kinspect(*change[:-1], "-o", "json").json["after"]
        assert again["traces"] == predicted["traces"]
    ran = kinspect(*change, str(folder))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == f"kinspect: cannot write {folder}: it exists (name a new folder, or FILE.tar.gz)\n"


def test_assertions_are_judged_after_the_change(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "apiVersion: kinspect/v1\nkind: TrafficPolicy\nassertions:\n- name: drained\n  no-traffic: {to: drained}\n"
    )
    cordoned = kinspect("whatif", "--cordon", "node/node2", "--check", str(policy), "--demo")
    assert cordoned.code == 1
    drained = kinspect("whatif", "--drain", "node/node2", "--check", str(policy), "--demo", "-o", "json")
    assert (drained.code, drained.json["check"]["kind"]) == (0, "Check")


def test_a_manifest_makes_a_service_and_its_placeholders(tmp_path: Path) -> None:
    file = tmp_path / "new.yaml"
    file.write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: fresh, namespace: shop}\n"
        "spec: {type: NodePort, selector: {app: api}, ports: [{port: 80, targetPort: http}]}\n"
    )
    ran = kinspect("whatif", "--apply", str(file), *BEFORE, columns=200)
    assert ran.code == 0
    assert "can be reached at cluster IP 10.43.0.2:80 and NodePort 30000/tcp, and has 2 endpoints" in ran.out
    assert "10.43.0.2 stands for the cluster IP of shop/fresh, which the API server will choose." in ran.out
    piped = kinspect("whatif", "--apply", "-", *BEFORE, "-o", "json", stdin=file.read_bytes()).json
    assert [each["code"] for each in piped["consequences"]] == ["Placeholder", "Placeholder"]


def test_kube_proxys_configuration_counts_before_what_the_rules_show(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    config = "kind: KubeProxyConfiguration\niptables: {masqueradeAll: true}\nclusterCIDR: 10.42.0.0/16,fd00:42::/32\n"
    file.write_text(json.dumps({"kind": "ConfigMap", "data": {"config.conf": config}}))
    given = ("--kube-proxy-config", str(file), "-o", "json")
    found = kinspect("whatif", SERVICE, "--cordon", "node/node1", "--demo", *given).json
    every = {
        (e["setting"], e["value"], e["rule"]) for e in found["inferred"] if e["setting"] == "masqueradeAll"
    }
    assert every == {("masqueradeAll", "true", str(file))}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("svc/test-service",), "no change is given"),
        (("10.43.0.1:80", "--cordon", "node1"), "'10.43.0.1:80' is not a service"),
        (("--set", "externalTrafficPolicy=Local"), "names no service"),
        ((SERVICE, "--set", "externalTrafficPolicy"), "cannot read --set"),
        ((SERVICE, "--set", "ports={"), "the value is not YAML"),
        ((SERVICE, "--set", "externalName=2024-01-01"), "the API has no such value"),
        ((SERVICE, "--relabel", "pod/x"), "cannot read --relabel"),
        ((SERVICE, "--without", "test-server-2"), "cannot read --without"),
        ((SERVICE, "--add", "test-service"), "cannot read --add"),
        ((SERVICE, "--add", "test-service@node1=0"), "1 to 1000 pods"),
        ((SERVICE, "--delete", "test-service"), "cannot read --delete"),
        (("--apply", "/nowhere.yaml"), "/nowhere.yaml: cannot be read: No such file or directory"),
        ((SERVICE, "--cordon", "node1", "--check", "/nowhere.yaml"), "/nowhere.yaml: cannot be read"),
        ((SERVICE, "--cordon", "node1", "--kube-proxy-config", "/nowhere"), "/nowhere: cannot be read"),
        (("--cordon", "node1", "--rules", "x"), "--rules alone has no services to change"),
    ],
)
def test_a_call_that_is_wrong_is_one_line(words: tuple[str, ...], said: str) -> None:
    source = () if "--rules" in words else ("--demo",)
    ran = kinspect("whatif", *words, *source)
    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    "text",
    ["[1, 2", "just words", "kind: Deployment\nmetadata: {name: x}", "kind: Service\nmetadata: {}", "", "kind: Service\nmetadata: {name: 'a\"\\n-A X'}", "- 1\n- 2", "kind: Pod\nmetadata: {name: x, when: 2024-01-01}"],
)  # fmt: skip
def test_a_manifest_that_is_none_is_one_line(text: str) -> None:
    ran = kinspect("whatif", "--apply", "-", "--demo", stdin=text.encode())
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
