"""How much is done, counted: what a benchmark's time hangs on, without a clock."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import pytest

from kinspect.evaluate.shortcuts.after_nat import AfterNatMemo
from kinspect.evaluate.walk import Walk
from kinspect.model.check import ServicePattern
from kinspect.parse.rules import dump, fast_path
from kinspect.pipeline.audit import AuditRequest, audit
from kinspect.pipeline.gather.sources import Recorded
from tests.bench.scale import write
from tests.cli.run import kinspect


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Rules read, those of them that the quick way leaves, and ways behind nat that were walked."""
    work: Counter[str] = Counter()

    def count(owner: object, name: str, what: str) -> None:
        real = getattr(owner, name)

        def counting(*args: object, **named: object) -> object:
            work[what] += 1
            return real(*args, **named)

        monkeypatch.setattr(owner, name, counting)

    count(dump, "read_rule", "rules")
    count(fast_path, "parse_rule", "slow rules")
    follow = AfterNatMemo.follow

    def following(self: AfterNatMemo, where: str, packet, walk):  # type: ignore[no-untyped-def]
        def counted_walk():  # type: ignore[no-untyped-def]
            work["walks"] += 1
            return walk()

        return follow(self, where, packet, counted_walk)

    monkeypatch.setattr(AfterNatMemo, "follow", following)
    return work


def test_a_trace_reads_the_rules_that_it_visits_however_many_there_are(
    tmp_path: Path, counted: Counter[str]
) -> None:
    read = []
    for services in (200, 400):
        folder = write(tmp_path / str(services), services, 4)
        counted.clear()
        assert kinspect("trace", "svc/svc-00005", "-n", "scale", "--snapshot", str(folder)).code == 0
        read.append(counted["rules"])
        assert counted["slow rules"] == 0
    assert read[0] == read[1] < 100


def test_an_audit_reads_each_rule_once_and_walks_behind_nat_a_few_times(
    tmp_path: Path, counted: Counter[str]
) -> None:
    walks = []
    for services in (20, 40):
        folder = write(tmp_path / str(services), services, 4)
        counted.clear()
        assert audit(AuditRequest(), Recorded(folder)).observations == ()
        written = sum(
            line.startswith("-A ")
            for node in ("node1", "node2")
            for line in dump_text(folder, node).splitlines()
        )
        assert counted["rules"] <= written
        assert counted["slow rules"] == 0
        walks.append(counted["walks"])
    assert walks[0] == walks[1] < 40


def test_an_audit_of_many_nodes_walks_the_chains_of_services_as_it_does_on_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each further node costs the walk of what differs there: here one service each."""
    monkeypatch.setattr("kinspect.pipeline.audit.usable_cores", lambda: 1)
    real = Walk.chain
    walked: Counter[str] = Counter()

    def counting(self: Walk, chain, branches, depth):  # type: ignore[no-untyped-def]
        walked["KUBE-SVC"] += chain.name.startswith("KUBE-SVC")
        return real(self, chain, branches, depth)

    monkeypatch.setattr(Walk, "chain", counting)
    counts = []
    for nodes in (2, 4, 12):
        folder = write(tmp_path / str(nodes), 60, 4, nodes)
        walked.clear()
        audit(AuditRequest(), Recorded(folder))
        counts.append(walked["KUBE-SVC"])
    # Followed anew each time, all services would be 8 * 60 and more.
    assert counts[2] - counts[1] <= 8 * 24  # seven walks for each way in that differs
    assert counts[1] < 3 * counts[0]


def test_an_audit_of_one_service_reads_little_of_the_others(tmp_path: Path, counted: Counter[str]) -> None:
    folder = write(tmp_path / "one", 200, 4)
    request = AuditRequest(services=[ServicePattern("scale", "svc-00007")])
    assert audit(request, Recorded(folder)).observations == ()
    # KUBE-SERVICES and KUBE-NODEPORTS whole, to see that each rule of theirs asks for a port.
    assert counted["rules"] < 2 * (200 + 40) + 100


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -m limit --limit 5/min -j LOG",
        "-A INPUT -m recent --set --name seen --mask 255.255.255.255 --rsource",
        "-A INPUT -m recent --update --seconds 60 --hitcount 4 --name seen --rsource -j DROP",
        "-A FORWARD -m recent --rcheck --seconds 60 --name seen --rsource -j DROP",
        "-A FORWARD -m length --length 1000:2000 -j LOG",
        "-A INPUT -m length --length 0:100 -j ACCEPT",
    ],
)
def test_one_rule_of_a_firewall_costs_an_audit_a_tenth_at_most(
    rule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule that decides nothing by a packet's addresses leaves all sharing as it is."""
    monkeypatch.setattr("kinspect.pipeline.audit.usable_cores", lambda: 1)
    real = Walk._odds
    work: Counter[str] = Counter()

    def counting(self: Walk, *asked: object) -> object:
        work["rules asked"] += 1
        return real(self, *asked)  # type: ignore[arg-type]

    monkeypatch.setattr(Walk, "_odds", counting)
    plain = write(tmp_path / "plain", 40, 6, 4)
    assert audit(AuditRequest(), Recorded(plain)).observations != ()  # nodes 3 and 4 lack something each
    before = work["rules asked"]
    other = write(tmp_path / "other", 40, 6, 4)
    for path in other.glob("nodes/*/iptables-save.txt.gz"):
        text = gzip.decompress(path.read_bytes()).decode()
        path.write_bytes(gzip.compress(text.replace("COMMIT", f"{rule}\nCOMMIT", 1).encode(), 1))
    work.clear()
    audit(AuditRequest(), Recorded(other))
    assert work["rules asked"] <= before * 11 / 10


def dump_text(folder: Path, node: str) -> str:
    import gzip

    return gzip.decompress((folder / "nodes" / node / "iptables-save.txt.gz").read_bytes()).decode()
