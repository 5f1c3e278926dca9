"""Every case that the differential test has ever found, and a short run of new ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from kinspect.model.packet import TCP, UDP
from kinspect.model.rules import End, Verdict
from kinspect.netfilter.targets.verdict import Drop
from tests.kernel import generate_routing
from tests.kernel.__main__ import CASES, disagree, explore, write
from tests.kernel.case import Case, Probe
from tests.kernel.differential import Bench
from tests.kernel.generate import make
from tests.kernel.netns import node as namespace

FOUND = sorted(CASES.glob("*.json"))
RULE_SETS = 25  # a kind; the long run is ``python -m tests.kernel``


pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with namespace() as made:
        yield Bench(made)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_a_disagreement_once_found_stays_settled(path: Path, bench: Bench) -> None:
    assert bench.differences(Case.read(path)) == []


@pytest.mark.parametrize("backend", ["legacy", "nft"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("draws", ["", "random", "nth"])
def test_new_rule_sets_agree(backend: str, family: int, draws: str, bench: Bench) -> None:
    before = bench.pairs
    for seed in range(RULE_SETS):
        case = make(Random(f"{backend} {family} {draws} {seed}"), backend, 4 if family == 4 else 6, draws)
        assert disagree(bench, case) == [], case.text()
    assert bench.pairs > before + RULE_SETS // 2


@pytest.mark.parametrize("backend", ["legacy", "nft"])
@pytest.mark.parametrize("family", [4, 6])
def test_new_ways_to_route_agree(backend: str, family: int, bench: Bench) -> None:
    for seed in range(RULE_SETS):
        rng = Random(f"routing {backend} {family} {seed}")
        case = generate_routing.make(rng, 4 if family == 4 else 6, backend)
        assert disagree(bench, case) == [], case.text()


def test_a_wrong_answer_is_seen_shrunk_and_kept(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test of the test: took the evaluator DROP for ACCEPT, the smallest case would be written out."""
    monkeypatch.setattr(Drop, "act", lambda self, packet, host: End(Verdict.ACCEPT, packet))
    rules = ("*filter", ":INPUT ACCEPT [0:0]", ":A - [0:0]", "-A INPUT -p udp -j ACCEPT", "-A INPUT -j A",
             "-A A -s 198.51.100.0/24 -p tcp -j DROP", "-A A -j RETURN", "COMMIT")  # fmt: skip
    probes = tuple(Probe("eth0", "198.51.100.7", "192.0.2.1", protocol) for protocol in (UDP, TCP, UDP))
    found = explore(bench, Case("legacy", 4, rules, probes))
    assert found is not None
    case, differences = found
    assert [line for line in case.rules if line.startswith("-A")] == ["-A INPUT -j A", "-A A -j DROP"]
    assert [probe.protocol for probe in case.probes] == [TCP]
    assert "delivered" in differences[0]
    assert Case.read(write(case, tmp_path)) == case
