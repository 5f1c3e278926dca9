"""The ends of a packet are those of its ways, whatever other hosts' chains are known already."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kinspect.evaluate.path import evaluate
from kinspect.evaluate.shortcuts.after_nat import AfterNatMemo
from kinspect.evaluate.shortcuts.chains import ChainMemo
from kinspect.evaluate.shortcuts.outcomes_only import ends, ends_of
from kinspect.evaluate.walk import Walk
from kinspect.model.rules import ChainName, TableName
from kinspect.parse.rules.dump import Dump, read_dump
from kinspect.pipeline.gather.read import read_facts
from kinspect.snapshot.store import open_snapshot
from tests.clusters import DATA, all_traffic, packet
from tests.evaluate.host import HOST
from tests.kernel.differential import same_ways

CLUSTERS = sorted(path for path in DATA.iterdir() if (path / "nodes").is_dir())


@pytest.mark.slow
def test_all_traffic_of_recorded_clusters_ends_as_its_ways_do() -> None:
    chains, taught = ChainMemo(), ChainMemo()  # of all clusters: some of them read alike
    for cluster in CLUSTERS:
        facts = read_facts(open_snapshot(cluster))
        memos: dict[tuple[str, int], AfterNatMemo] = {}
        for traffic in all_traffic(facts):
            state, family = facts.states[traffic.trace.node], traffic.trace.family
            rules = state.rulesets[family]
            shared = memos.setdefault((state.name, family), AfterNatMemo(state.host, rules))
            sketched = ends(traffic.trace.packet, state.host, rules, after_nat=shared, chains=chains)
            assert sketched == ends_of(traffic.trace.evaluation), (cluster.name, traffic.trace.packet)
            # What was learned for ends serves for ways, too.
            again = evaluate(traffic.trace.packet, state.host, rules, beyond=shared.beyond)
            assert same_ways(again, traffic.trace.evaluation)
            # And what was learned from ways serves for ends.
            way = evaluate(traffic.trace.packet, state.host, rules, enter=taught.learn)
            assert same_ways(way, traffic.trace.evaluation)
            assert ends(traffic.trace.packet, state.host, rules, after_nat=shared, chains=taught) == sketched


NAT = """*nat
:PREROUTING ACCEPT [0:0]
:A - [0:0]
:B - [0:0]
-A PREROUTING -j A
{}
COMMIT
"""
TWO = """-A A ! -s 10.32.0.0/11 -d 10.43.0.1/32 -j MARK --set-xmark 0x4000/0x4000
-A A -m statistic --mode random --probability 0.50000000000 -j B
-A A -p tcp -j DNAT --to-destination 10.42.2.2:80
-A B -p tcp -j DNAT --to-destination 10.42.1.2:80"""


def dump(rules: str, template: str = NAT) -> Dump:
    return read_dump(template.format(rules).encode(), source="dump")


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The chains that are walked."""
    names: list[str] = []
    real = Walk.chain

    def noting(self: Walk, chain, branches, depth):  # type: ignore[no-untyped-def]
        names.append(chain.name)
        return real(self, chain, branches, depth)

    monkeypatch.setattr(Walk, "chain", noting)
    return names


def followed(chains: ChainMemo, rules: Dump, sources: Sequence[str], dst: str = "10.43.0.1") -> None:
    memos = AfterNatMemo(HOST, [rules])
    for src in sources:
        probe = packet(src, dst, 80, iif="eth0")
        found = ends(probe, HOST, [rules], after_nat=memos, chains=chains)
        assert found == ends_of(evaluate(probe, HOST, [rules]))


def test_chains_that_read_the_same_are_walked_once(walked: list[str]) -> None:
    chains = ChainMemo()
    memos: list[AfterNatMemo] = []
    for rules in (dump(TWO), dump(TWO), dump(TWO.replace("-A A", "[5:300] -A A"))):
        memos.append(AfterNatMemo(HOST, [rules]))
        for src in ("198.51.100.7", "198.51.100.8"):
            ends(packet(src, "10.43.0.1", 80, iif="eth0"), HOST, [rules], after_nat=memos[-1], chains=chains)
    assert walked.count("A") == 1
    assert walked.count("B") == 1
    assert walked.count("PREROUTING") == 6


def test_what_a_way_taught_is_not_walked_again(walked: list[str]) -> None:
    chains, rules = ChainMemo(), dump(TWO)
    probe = packet("198.51.100.7", "10.43.0.1", 80, iif="eth0")
    evaluate(probe, HOST, [rules], enter=chains.learn)
    assert (walked.count("A"), walked.count("B")) == (1, 1)
    found = ends(probe, HOST, [rules], after_nat=AfterNatMemo(HOST, [rules]), chains=chains)
    assert (walked.count("A"), walked.count("B")) == (1, 1)
    assert found == ends_of(evaluate(probe, HOST, [rules]))


@pytest.mark.parametrize(
    ("why", "other"),
    [
        ("another rule", TWO.replace("10.42.2.2:80", "10.42.2.3:80")),
        ("another rule in a chain that it leads to", TWO.replace("10.42.1.2:80", "10.42.1.3:80")),
        ("one rule more", TWO + "\n-A B -j MARK --set-xmark 0x1/0x1"),
        ("another order", "\n".join([*TWO.splitlines()[1:], TWO.splitlines()[0]])),
    ],
)
def test_chains_that_read_otherwise_are_walked_anew(why: str, other: str, walked: list[str]) -> None:
    chains = ChainMemo()
    followed(chains, dump(TWO), ["198.51.100.7"])
    followed(chains, dump(other), ["198.51.100.7"])
    walked.clear()
    memos = AfterNatMemo(HOST, [dump(TWO)])
    ends(
        packet("198.51.100.7", "10.43.0.1", 80, iif="eth0"), HOST, [dump(TWO)], after_nat=memos, chains=chains
    )
    assert "A" not in walked


def test_a_packet_that_a_rule_tells_apart_is_walked_for_itself(walked: list[str]) -> None:
    chains = ChainMemo()
    followed(chains, dump(TWO), ["198.51.100.7", "10.42.0.9", "10.42.0.10"])
    followed(chains, dump(TWO), ["10.42.0.11"], "10.43.0.2")
    followed(chains, dump(TWO), ["10.42.0.12"], "10.43.0.2")
    followed(chains, dump(TWO), ["203.0.113.5"], "10.43.0.2")


MARKED = """*filter
:FORWARD ACCEPT [0:0]
-A FORWARD -m mark --mark 0x4000/0x4000 -j DROP
COMMIT
"""


def test_sources_that_a_chain_tells_apart_are_told_apart(walked: list[str]) -> None:
    rules = dump(TWO, MARKED + NAT)
    chains, memos = ChainMemo(), AfterNatMemo(HOST, [rules])
    for src in ("10.42.0.9", "198.51.100.7", "10.42.0.10", "198.51.100.8"):
        probe = packet(src, "10.43.0.1", 80, iif="eth0")
        verdicts = {end[0] for end, _, _ in ends(probe, HOST, [rules], after_nat=memos, chains=chains) or ()}
        assert verdicts == ({"ACCEPT"} if src.startswith("10.42") else {"DROP"})
    assert walked.count("A") == 2


def test_a_destination_rewritten_to_itself_is_not_taken_for_unchanged() -> None:
    """The second packet, to another address, goes where the first one stayed."""
    rules = dump("-A A -p tcp -j DNAT --to-destination 10.42.1.2:80")
    chains = ChainMemo()
    followed(chains, rules, ["198.51.100.7"], "10.42.1.2")
    followed(chains, rules, ["198.51.100.7"], "10.42.1.3")


@pytest.mark.parametrize(
    "rule",
    [
        "-A A -m addrtype --dst-type LOCAL -j DNAT --to-destination 10.42.1.2",
        "-A A -m recent --set --name x --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.42.1.2",
        "-A A -m set --match-set here dst -j DNAT --to-destination 10.42.1.2",
        "-A A -j DNAT --to-destination 10.42.1.2-10.42.1.9",
        "-A A -j SOMETHING",
    ],
)
def test_what_asks_for_more_than_the_packet_is_always_walked(rule: str, walked: list[str]) -> None:
    chains = ChainMemo()
    for _ in range(2):
        followed(
            chains,
            dump(f"{rule}\n-A B -j RETURN", NAT.replace(":B", ":SOMETHING - [0:0]\n:B")),
            ["198.51.100.7"],
        )
    if "SOMETHING" not in rule:
        assert walked.count("A") == 4


def test_a_missing_chain_is_not_an_empty_one() -> None:
    rules = "-A A -j GONE\n-A B -j RETURN"
    empty = read_dump(NAT.replace(":B -", ":GONE - [0:0]\n:B -").format(rules).encode(), source="dump")
    lost = dump(rules)
    digests = [d.closure(TableName("nat"), ChainName("A"), 100) for d in (empty, lost)]
    assert None not in digests
    assert digests[0] != digests[1]


def test_a_closure_of_too_many_rules_is_none() -> None:
    rules = dump("\n".join(["-A A -j RETURN"] * 101))
    assert rules.closure(TableName("nat"), ChainName("A"), 100) is None
    assert rules.closure(TableName("nat"), ChainName("A"), 101) is not None
    assert rules.closure(TableName("mangle"), ChainName("A"), 100) is None
