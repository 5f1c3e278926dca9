"""Readings of rule counters to rates and verdicts: what is chance, what is not, and what is not known."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kinspect.flows.counters import Expected, NodeTally, chains_of, counters, judged
from kinspect.model.cluster import Service, ServicePort
from kinspect.model.counts import EndpointCount

A, B = "10.0.0.1:80", "10.0.0.2:80"
HALF = (Fraction(1, 2), Fraction(1, 2))


def endpoint(to: str, share: tuple[Fraction, Fraction] = HALF) -> Expected:
    return Expected(
        node="n", port=None, family=4, to=to, backend=None, share=share, rules=frozenset({f"dnat {to}"}), packets=None
    )  # fmt: skip


def counts(a: int | None, b: int | None, share: tuple[Fraction, Fraction] = HALF) -> list[EndpointCount]:
    return [endpoint(A, share).count(a), endpoint(B, share).count(b)]


def tally() -> NodeTally:
    return NodeTally(node="n", rules=(endpoint(A), endpoint(B)), known=frozenset(found(0, 0)))


def found(a: int, b: int, jumps: int = 0) -> dict[str, int]:
    return {f"dnat {A}": a, f"dnat {B}": b, "jump": jumps}


@pytest.mark.parametrize(
    ("a", "b", "judgement"),
    [(507, 493, "chance"), (600, 400, "more-than-chance"), (6, 4, "chance"), (0, 0, "not-tested")],
)
def test_a_difference_is_tested_by_what_was_drawn(a: int, b: int, judgement: str) -> None:
    assert [one.judgement for one in judged(counts(a, b))] == [judgement] * 2
    assert [one.drawn for one in judged(counts(a, b))] == [a + b] * 2


def test_the_p_value_is_that_of_the_exact_binomial_test() -> None:
    (one, _) = judged(counts(9, 1))
    assert one.chance == pytest.approx(2 * (1 + 10) / 2**10)


def test_shares_that_depend_on_the_way_in_are_held_to_the_nearest() -> None:
    wide = (Fraction(1, 4), Fraction(3, 4))
    assert {one.judgement for one in judged(counts(740, 260, wide))} == {"within-bounds"}
    assert {one.judgement for one in judged(counts(760, 240, wide))} == {"chance"}
    assert {one.judgement for one in judged(counts(900, 100, wide))} == {"more-than-chance"}


def test_an_endpoint_that_should_get_nothing_and_gets_something_is_no_chance() -> None:
    none = (Fraction(0), Fraction(0))
    assert judged([endpoint(A, none).count(1), endpoint(B).count(1)])[0].judgement == "more-than-chance"


def test_affinity_and_counters_that_are_lacking_are_not_tested() -> None:
    assert {one.judgement for one in judged(counts(900, 100), sticky=True)} == {"not-tested"}
    assert {one.judgement for one in judged(counts(900, None))} == {"not-tested"}


def test_rates_are_what_counters_gained_by_the_seconds_between() -> None:
    node = tally()
    node.read(found(100, 200), 0.0)
    assert (node.condition, [one.rate for one in node.counts()]) == ("first", [None, None])
    assert [one.connections for one in node.counts()] == [0, 0], "what was counted before is not of the watch"
    node.read(found(110, 220), 4.0)
    assert (node.condition, [one.rate for one in node.counts()]) == ("counted", [2.5, 5.0])
    node.read(found(110, 221), 6.0)
    assert [(one.connections, one.rate) for one in node.counts()] == [(10, 0.0), (21, 0.5)]


def test_counters_that_fall_are_a_reset_and_nothing_of_the_interval_counts() -> None:
    node = tally()
    node.read(found(100, 200), 0.0)
    node.read(found(110, 210), 1.0)
    node.read(found(3, 250), 2.0)  # one fell: the other one's gain is of another stretch of time
    assert (node.condition, node.reading().resets) == ("reset", 1)
    assert [(one.connections, one.rate) for one in node.counts()] == [(10, None), (10, None)]
    node.read(found(4, 251), 3.0)
    assert [(one.connections, one.rate) for one in node.counts()] == [(11, 1.0), (11, 1.0)]


def test_any_rule_of_the_service_tells_a_reset() -> None:
    node = tally()
    node.read(found(1, 1, jumps=9), 0.0)
    node.read(found(5, 5, jumps=2), 1.0)
    assert node.condition == "reset"


def test_rules_that_changed_begin_anew() -> None:
    node = tally()
    node.read(found(1, 1), 0.0)
    node.read(found(5, 5), 1.0)
    now = {f"dnat {A}": 7}
    assert node.changed(now)
    node.rewritten((endpoint(A),), frozenset(now))
    assert (node.condition, node.reading().rewrites) == ("rewritten", 1)
    assert [(one.connections, one.rate) for one in node.counts()] == [(0, None)], "other rules, other shares"
    assert not node.changed(now)
    node.read(now, 2.0)
    node.read({f"dnat {A}": 9}, 3.0)
    assert [(one.connections, one.rate) for one in node.counts()] == [(2, 2.0)]


def test_a_node_that_went_away_is_marked_until_it_is_back() -> None:
    node = tally()
    node.read(found(0, 0), 0.0)
    node.lost("connection refused")
    node.overdue()
    assert (node.reading().condition, node.reading().why) == ("gone", "connection refused")
    assert [one.rate for one in node.counts()] == [None, None]
    node.read(found(10, 20), 10.0)  # its counters went on: what it counted meanwhile is known
    assert [(one.connections, one.rate) for one in node.counts()] == [(10, 1.0), (20, 2.0)]
    assert node.reading().why is None


def test_a_reading_that_is_late_is_no_reading_of_zero() -> None:
    node = tally()
    node.read(found(0, 0), 0.0)
    node.overdue()
    assert node.condition == "waiting"
    assert [one.rate for one in node.counts()] == [None, None]


def test_counters_are_those_of_the_services_chains_and_of_the_endpoints_they_lead_to() -> None:
    service = Service(namespace="default", name="x", type="ClusterIP", ports=(ServicePort("", "TCP", 80),))
    chain = next(chain for chain in chains_of(service) if chain.startswith("KUBE-SVC-"))
    dump = f"""*nat
[9:90] -A KUBE-SERVICES -d 10.43.0.1/32 -j {chain}
[7:70] -A {chain} -j KUBE-SEP-OURS
[5:50] -A KUBE-SEP-OURS -j DNAT --to-destination 10.0.0.1:80
[3:30] -A KUBE-SEP-OTHER -j DNAT --to-destination 10.0.0.9:80
[2:20] -A MINE -j DNAT --to-destination 10.0.0.7:80
COMMIT
"""
    mine = "-A MINE -j DNAT --to-destination 10.0.0.7:80"
    assert counters([dump.encode()], chains_of(service), frozenset({mine})) == {
        f"-A {chain} -j KUBE-SEP-OURS": 7,
        "-A KUBE-SEP-OURS -j DNAT --to-destination 10.0.0.1:80": 5,
        mine: 2,
    }
