"""``kinspect trace --counters``: what the rules of a recorded node counted, beside the shares."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tests.cli.run import kinspect
from tests.clusters import DATA

STORY = DATA / "story-2-node-relabelled"


def test_real_connections_beside_their_shares() -> None:
    """Two thousand real ones were recorded at each node."""
    ran = kinspect("trace", "svc/test-service", "--snapshot", str(STORY), "--counters", "-o", "json")
    assert ran.code == 0, ran.err
    found = [(c["node"], c["connections"], c["share"], c["judgement"]) for c in ran.json["counters"]]
    assert found == [
        ("node1", 977, 0.5, "chance"),
        ("node1", 1023, 0.5, "chance"),
        ("node2", 1033, 0.5, "chance"),
        ("node2", 967, 0.5, "chance"),
    ]


def test_people_are_told_since_when_and_by_which_test() -> None:
    ran = kinspect("trace", "svc/test-service", "--snapshot", str(STORY), "--counters", "-o", "wide")
    assert "since kube-proxy last wrote these chains; when that was is not known" in " ".join(ran.out.split())
    assert "P-VALUE" in ran.out
    assert re.search(r"node1 +10\.42\.19\.2:80 .* 977 +48\.9% +1/2 +chance +0\.31", ran.out)


def test_connections_of_ways_in_with_other_shares_are_within_bounds() -> None:
    """Under policy Local, what enters from outside has another share than what pods send."""
    snapshot = DATA / "story-6-node1-stale"
    ran = kinspect("trace", "svc/test-service", "--snapshot", str(snapshot), "--counters", "-o", "json")
    found = {(c["node"], c["to"]): c for c in ran.json["counters"]}
    assert found["node1", "10.42.19.2:80"]["bounds"] == [0.5, 1]
    assert found["node1", "10.42.19.2:80"]["judgement"] == "within-bounds"
    assert found["node1", "10.42.19.2:80"]["pValue"] is None


def test_a_dump_without_counters_is_undetermined(tmp_path: Path) -> None:
    text = (STORY / "nodes/node1/iptables-save.txt").read_text()
    dump = tmp_path / "node1.txt"
    dump.write_text(re.sub(r"^\[\d+:\d+\] ", "", text, flags=re.M))
    argv = ("trace", "svc/test-service", "--rules", str(dump), "--counters", "--local", "192.168.0.11")
    ran = kinspect(*argv, "-o", "json")
    assert ran.code == 3
    assert {c["connections"] for c in ran.json["counters"]} == {None}
    assert any(entry["answeredBy"] == "iptables-save -c" for entry in ran.json["undetermined"])


def test_a_way_in_that_leads_to_no_endpoint_counts_nothing(tmp_path: Path) -> None:
    """Node1's rules do not have the cluster IP: what is sent there is translated nowhere."""
    snapshot = Path(shutil.copytree(STORY, tmp_path / "snapshot"))
    for dump in snapshot.glob("nodes/*/iptables-save.txt"):
        lines = dump.read_text().splitlines(keepends=True)
        dump.write_text("".join(line for line in lines if "-d 10.43.174.31/32" not in line))
    argv = ("trace", "svc/test-service", "--snapshot", str(snapshot), "--counters", "-o", "json")
    found = kinspect(*argv).json["counters"]
    assert [(c["connections"], c["share"]) for c in found] == [
        (977, 0.5),
        (1023, 0.5),
        (1033, 0.5),
        (967, 0.5),
    ]


def test_it_is_about_a_service() -> None:
    for target in (("--packet", "IP(dst='10.42.19.2')/TCP(dport=80)"), ("10.42.19.2:80",)):
        ran = kinspect("trace", *target, "--snapshot", str(STORY), "--counters")
        assert ran.code == 2
        assert "--counters" in ran.err
