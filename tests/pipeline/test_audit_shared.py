"""What audit remembers from node to node changes nothing that it finds."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kinspect.checks.audit import of_traffic
from kinspect.checks.audit.catalogue import KINDS
from kinspect.checks.audit.of_traffic import Context, Examined, TrafficFindings
from kinspect.checks.audit.seen_healthy import Healthy
from kinspect.checks.audit.traffic import way_of
from kinspect.model.audit import ALL_FACTS, AuditAnswer, FindingKind, Observation, Severity
from kinspect.model.traffic import Traffic
from kinspect.pipeline import audit as pipeline
from kinspect.pipeline.audit import AuditRequest, audit
from kinspect.pipeline.gather.sources import Recorded
from tests.bench.scale import write

NODES = 6
LINES = (
    "-A FORWARD -d 10.42.0.3/32 -j DROP",
    "-A FORWARD -d 10.52.0.0/24 -p tcp -m tcp --dport 8080 -j REJECT --reject-with icmp-port-unreachable",
    "-A FORWARD -s 203.0.113.0/24 -j DROP",
    "-A INPUT -p tcp -m tcp --dport 30000 -j DROP",
    "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j DROP",
)
EARLY = (
    "-A PREROUTING -p tcp -m tcp --dport 30001 -j DNAT --to-destination 10.42.0.9:8080",
    "-A PREROUTING -d 10.43.1.4/32 -p tcp -j REDIRECT --to-ports 8080",
    "-A OUTPUT -d 10.43.1.5/32 -p tcp -j MARK --set-xmark 0x4000/0x4000",
    "-A PREROUTING -s 10.52.0.0/16 -d 10.43.1.6/32 -j ACCEPT",
)


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """All nodes one after the other, so that the first is remembered at the last."""
    monkeypatch.setattr(pipeline, "usable_cores", lambda: 1)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether what was asked of the memory was known to be well, each time."""
    answers: list[bool] = []
    real = Healthy.get

    def noting(self: Healthy, *about: Any) -> Any:
        known = real(self, *about)
        answers.append(known is not None)
        return known

    monkeypatch.setattr(Healthy, "get", noting)
    return answers


def forgetful(folder: Path) -> AuditAnswer:
    """The audit, with nothing remembered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Healthy, "among", lambda *_: False)
        return audit(AuditRequest(), Recorded(folder))


def altered(folder: Path, node: str, change: Callable[[list[str]], list[str]]) -> None:
    path = folder / "nodes" / node / "iptables-save.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    path.write_bytes(gzip.compress("\n".join([*change(lines), ""]).encode(), 1))


def damaged(seed: int) -> Callable[[list[str]], list[str]]:
    """Something of what goes wrong with rules, here and there."""
    draw = random.Random(seed)

    def change(lines: list[str]) -> list[str]:
        own = [number for number, line in enumerate(lines) if line.startswith("-A KUBE-S")]
        for number in sorted(draw.sample(own, 4), reverse=True):
            what = draw.randrange(5)
            if what == 0:
                del lines[number]
            elif what == 1:
                lines[number] = lines[number].replace("8080", "8081")
            elif what == 2:
                lines[number] = lines[number].replace("10.42.0.", "10.42.9.").replace("10.52.0.", "10.42.0.")
            elif what == 3:
                lines[number] = lines[number].replace("0.50000000000", "0.25000000000")
            else:
                lines[number : number + 2] = reversed(lines[number : number + 2])
        if draw.random() < 0.5:
            lines.insert(lines.index("COMMIT"), draw.choice(LINES))
        if draw.random() < 0.5:
            first = next(n for n, line in enumerate(lines) if line.startswith("-A PREROUTING"))
            lines.insert(first, draw.choice(EARLY))
        if draw.random() < 0.5:
            lines = [
                f"[{draw.randrange(99)}:{draw.randrange(9999)}] {x}" if x.startswith("-A") else x
                for x in lines
            ]
        return lines

    return change


def policies(folder: Path, seed: int) -> None:
    """Some services are Local, some have hints, some no endpoint that is ready."""
    draw = random.Random(seed)
    services = json.loads((folder / "api/services.json").read_text())
    for item in services["items"]:
        if draw.random() < 0.2:
            item["spec"]["internalTrafficPolicy"] = "Local"
        if item["spec"]["type"] == "NodePort" and draw.random() < 0.4:
            item["spec"]["externalTrafficPolicy"] = "Local"
    (folder / "api/services.json").write_text(json.dumps(services))
    slices = json.loads((folder / "api/endpointslices.json").read_text())
    for item in slices["items"]:
        for endpoint in item["endpoints"]:
            if draw.random() < 0.1:
                endpoint["conditions"] = {"ready": False, "serving": draw.random() < 0.5, "terminating": True}
            if draw.random() < 0.05:
                endpoint["hints"] = {"forNodes": [{"name": f"node{draw.randrange(NODES) + 1}"}]}
    (folder / "api/endpointslices.json").write_text(json.dumps(slices))


@pytest.mark.parametrize("seed", range(24))
def test_a_cluster_that_is_wrong_in_places_is_as_wrong_with_a_memory(
    seed: int, tmp_path: Path, asked: list[bool]
) -> None:
    folder = write(tmp_path / "cluster", 12, 3, NODES)
    draw = random.Random(seed)
    for number in range(NODES):
        if draw.random() < 0.6:
            altered(folder, f"node{number + 1}", damaged(100 * seed + number))
    if seed % 2:
        policies(folder, seed)
    found = audit(AuditRequest(), Recorded(folder))
    assert any(asked)
    assert not all(asked)
    assert found == forgetful(folder)
    assert found.observations


def test_what_is_well_on_one_node_is_not_followed_on_the_next(tmp_path: Path, asked: list[bool]) -> None:
    folder = write(tmp_path / "cluster", 10, 3, NODES)
    altered(
        folder,
        "node3",
        lambda lines: [f"[7:420] {line}" if line.startswith("-A") else line for line in lines],
    )
    assert audit(AuditRequest(), Recorded(folder)).observations != ()  # nodes 3 to 6 lack something each
    ways = 2 * 10 + 3 * 2  # cluster IPs from pods and processes; two NodePorts, from outside too
    assert len(asked) == (NODES - 1) * ways
    assert asked.count(False) <= (NODES - 2) * 5


def only_to(service: int, node: int) -> Callable[[list[str]], list[str]]:
    """The rules of a service without its endpoints on other nodes, of two on nodes 1 and 2."""

    def change(lines: list[str]) -> list[str]:
        name = f"scale/svc-{service:05}:http"
        other = "10.52." if node == 1 else "10.42."
        kept = [line for line in lines if f'"{name} -> {other}' not in line]
        return [line.replace(" -m statistic --mode random --probability 0.50000000000", "") if f'"{name} -> ' in line else line for line in kept]  # fmt: skip

    return change


def about(found: AuditAnswer, service: int) -> dict[str, set[str]]:
    """The kinds of findings in a service, and the nodes they are on."""
    nodes: dict[str, set[str]] = {}
    for each in found.observations:
        if each.service == ("scale", f"svc-{service:05}"):
            nodes.setdefault(each.kind.code, set()).update(each.nodes)
    return nodes


def test_where_the_policy_is_local_nodes_are_asked_about_for_themselves(tmp_path: Path) -> None:
    """Node 2 does what is right on node 1 only."""
    folder = write(tmp_path / "cluster", 12, 2, 2)
    services = json.loads((folder / "api/services.json").read_text())
    services["items"][7]["spec"]["internalTrafficPolicy"] = "Local"
    (folder / "api/services.json").write_text(json.dumps(services))
    for node in ("node1", "node2"):
        altered(folder, node, only_to(7, 1))
    found = about(audit(AuditRequest(), Recorded(folder)), 7)
    assert set().union(*found.values()) == {"node2"}
    assert "KI103" in found


def test_where_endpoints_have_hints_nodes_are_asked_about_for_themselves(tmp_path: Path) -> None:
    folder = write(tmp_path / "cluster", 12, 2, 2)
    slices = json.loads((folder / "api/endpointslices.json").read_text())
    for number, endpoint in enumerate(slices["items"][7]["endpoints"], 1):
        endpoint["hints"] = {"forNodes": [{"name": f"node{number}"}]}
    (folder / "api/endpointslices.json").write_text(json.dumps(slices))
    for node in ("node1", "node2"):
        altered(folder, node, only_to(7, 1))
    found = about(audit(AuditRequest(), Recorded(folder)), 7)
    assert set().union(*found.values()) == {"node2"}


def test_what_is_as_it_should_be_by_anothers_rule_is_no_example(tmp_path: Path) -> None:
    """On node 1 another program sends to one of two endpoints, on node 2 kube-proxy does."""
    folder = write(tmp_path / "cluster", 12, 2, 2)
    early = "-d 10.43.1.9/32 -p tcp -j DNAT --to-destination 10.42.0.9:8080"

    def taken(lines: list[str]) -> list[str]:
        first = next(n for n, line in enumerate(lines) if line.startswith("-A PREROUTING"))
        return [*lines[:first], f"-A PREROUTING {early}", f"-A OUTPUT {early}", *lines[first:]]

    altered(folder, "node1", taken)
    altered(folder, "node2", only_to(7, 1))
    found = audit(AuditRequest(), Recorded(folder))
    assert found == forgetful(folder)
    assert about(found, 7)["KI104"] >= {"node2"}


def test_many_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "cluster", 12, 3, NODES)
    altered(folder, "node5", damaged(5))
    alone = audit(AuditRequest(), Recorded(folder))
    monkeypatch.setattr(pipeline, "WORTH", 1)
    for cores in (2, 3, 12):
        monkeypatch.setattr(pipeline, "usable_cores", lambda cores=cores: cores)
        monkeypatch.setattr("kinspect.pipeline.processes.usable_cores", lambda cores=cores: cores)
        assert audit(AuditRequest(), Recorded(folder)) == alone


@pytest.mark.parametrize(
    "broken",
    [
        b"\x1f\x8bnot gzip at all",
        gzip.compress(b"*nat\n:PREROUTING ACCEPT [0:0]\n"),
        gzip.compress(b"\0binary"),
    ],
    ids=["no archive", "cut short", "no text"],
)
def test_a_node_that_cannot_be_read_is_said_and_does_not_stop_the_others(
    broken: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "cluster", 4, 3, 4)
    for node in ("node2", "node4"):  # in each of two processes
        (folder / f"nodes/{node}/iptables-save.txt.gz").write_bytes(broken)
    monkeypatch.setattr(pipeline, "WORTH", 1)
    for cores in (1, 2):
        monkeypatch.setattr(pipeline, "usable_cores", lambda cores=cores: cores)
        monkeypatch.setattr("kinspect.pipeline.processes.usable_cores", lambda cores=cores: cores)
        found = audit(AuditRequest(), Recorded(folder))
        assert found.nodes == ("node1", "node3")
        assert all(any(node in one.text for one in found.undetermined) for node in ("node2", "node4"))
        assert any(
            each.kind.code == "KI201" and each.nodes == ("node2", "node4") for each in found.observations
        )


def snat_found(traffic: Traffic, context: Context) -> Examined:
    """A finding on the address that packets leave with."""
    sources = {outcome.snat for outcome in traffic.trace.outcomes if outcome.snat is not None}
    observations = tuple(
        Observation(
            kind=TRIAL,
            text=f"leaves as {snat}",
            nodes=(traffic.trace.node,),
            service=traffic.service.key,
            ways=(way_of(traffic),),
        )
        for snat in sorted(sources)
        if snat == "192.0.2.99"
    )
    return Examined(observations, well=not observations)


TRIAL = FindingKind(
    code="KI999", title="trial", severity=Severity.WARNING, means="", todo="", depends=frozenset({"source"})
)


def test_a_finding_that_depends_on_more_than_the_memory_knows_is_looked_for_on_every_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[bool]
) -> None:
    """The extra SNAT of node 3 changes where no packet ends, and so nothing that the memory is asked by."""
    folder = write(tmp_path / "cluster", 6, 3, 3)
    altered(folder, "node3", with_snat)
    monkeypatch.setattr(of_traffic, "FAMILIES", (*of_traffic.FAMILIES, TrafficFindings((TRIAL,), snat_found)))
    found = audit(AuditRequest(), Recorded(folder))
    assert found == forgetful(folder)
    seen = [each for each in found.observations if each.kind is TRIAL]
    assert {each.service for each in seen} == {("scale", f"svc-{number:05}") for number in range(6)}
    assert {each.nodes for each in seen} == {("node3",)}
    assert not any(asked)


def with_snat(lines: list[str]) -> list[str]:
    first = next(n for n, line in enumerate(lines) if line.startswith("-A POSTROUTING"))
    return [*lines[:first], "-A POSTROUTING -p tcp -j SNAT --to-source 192.0.2.99", *lines[first:]]


def test_every_kind_says_what_it_depends_on() -> None:
    assert [code for code, kind in KINDS.items() if kind.depends == ALL_FACTS] == []
    kinds = [kind for family in of_traffic.FAMILIES for kind in family.kinds]
    assert Healthy(kinds).serves
    assert not Healthy([*kinds, TRIAL]).serves
    undeclared = FindingKind(code="KI998", title="", severity=Severity.INFO, means="", todo="")
    assert not Healthy([undeclared]).serves
