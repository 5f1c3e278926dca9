"""What is shared among many packets is what each would have found alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kinspect.evaluate.path import evaluate
from kinspect.evaluate.shortcuts import after_nat
from kinspect.evaluate.shortcuts.after_nat import AfterNatMemo
from kinspect.parse.rules.dump import read_dump
from kinspect.pipeline.gather.read import read_facts
from kinspect.snapshot.store import open_snapshot
from tests.clusters import DATA, all_traffic, packet
from tests.evaluate.host import HOST
from tests.kernel.differential import same_ways

CLUSTERS = sorted(path for path in DATA.iterdir() if (path / "nodes").is_dir())


@pytest.mark.slow
@pytest.mark.parametrize("cluster", CLUSTERS, ids=lambda path: path.name)
def test_all_traffic_of_recorded_clusters_goes_as_it_goes_alone(cluster: Path) -> None:
    facts = read_facts(open_snapshot(cluster))
    for traffic in all_traffic(facts):
        state = facts.states[traffic.trace.node]
        alone = evaluate(traffic.trace.packet, state.host, state.rulesets[traffic.trace.family])
        assert same_ways(traffic.trace.evaluation, alone), traffic.trace.packet


def walks(monkeypatch: pytest.MonkeyPatch, rules: str, *destinations: str) -> int:
    """How many walks behind nat it takes to follow a packet to each destination."""
    dump = read_dump(rules.encode(), source="dump")
    shared, counted = AfterNatMemo(HOST, [dump]), Counter[str]()
    follow = AfterNatMemo.follow

    def counting(self: AfterNatMemo, where: str, probe, walk):  # type: ignore[no-untyped-def]
        def counted_walk():  # type: ignore[no-untyped-def]
            counted["walks"] += 1
            return walk()

        ways = follow(self, where, probe, counted_walk)
        counted["alone"] += ways is None
        return ways

    monkeypatch.setattr(after_nat.AfterNatMemo, "follow", counting)
    for dst in destinations:
        probe = packet("198.51.100.7", dst, 80, iif="eth0")
        assert same_ways(evaluate(probe, HOST, [dump], beyond=shared.beyond), evaluate(probe, HOST, [dump]))
    return counted["walks"] + counted["alone"]


FORWARD = "*filter\n:FORWARD ACCEPT [0:0]\n{}\nCOMMIT\n"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-A FORWARD -s 10.0.0.0/8 -p tcp -m mark --mark 1 -j DROP", 1),
        ("-A FORWARD -d 10.1.0.5/32 -j DROP", 2),
        ("-A FORWARD ! -d 10.1.0.4/31 -j DROP", 2),
        ("-A FORWARD -d 10.1.0.6/31 -j DROP", 2),
        ("-A FORWARD -m iprange --dst-range 10.1.0.5-10.1.0.5 -j DROP", 2),
        ("-A FORWARD -m limit --limit 5/min -j LOG", 1),
        ("-A FORWARD -m length --length 1000:2000 -j DROP", 1),
        ("-A FORWARD -m recent --set --name x --rsource", 1),
        ("-A FORWARD -m recent --set --name x --rdest", 3),
        ("-A FORWARD -m set --match-set x dst -j DROP", 3),
        ("-A FORWARD -d 10.0.0.5/255.0.0.255 -j DROP", 3),
        ("-A FORWARD -m ttl --ttl-eq 64 -j DROP", 1),
    ],
)
def test_only_what_nothing_tells_apart_is_walked_once(
    monkeypatch: pytest.MonkeyPatch, rule: str, expected: int
) -> None:
    assert walks(monkeypatch, FORWARD.format(rule), "10.1.0.5", "10.1.0.6", "10.1.0.7") == expected


def test_routes_tell_destinations_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    assert walks(monkeypatch, FORWARD.format(""), "10.1.0.9", "10.1.0.14", "203.0.113.9") == 2


def test_a_host_of_unknown_addresses_shares_nothing_that_hangs_on_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = replace(HOST, routes=None, addresses=None, links=None)
    dump = read_dump(FORWARD.format("").encode(), source="dump")
    shared = AfterNatMemo(bare, [dump])
    for dst in ("10.1.0.9", "10.1.0.8"):
        probe = packet("198.51.100.7", dst, 80, iif="eth0")
        assert same_ways(evaluate(probe, bare, [dump], beyond=shared.beyond), evaluate(probe, bare, [dump]))
