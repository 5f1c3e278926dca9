"""A service of thousands of endpoints: documents and tables whose size and work are those of each endpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from kinspect.model.answer import NodeShare, NodeTrace, Outcome, Total, TraceAnswer
from kinspect.model.cluster import EndpointOwner
from kinspect.model.odds import Weight
from kinspect.model.packet import TCP, Packet
from kinspect.model.rules import Verdict
from kinspect.model.trace import Evaluation, Way
from kinspect.report import formats, numbers
from tests.report.test_numbers import even_shares


def answered(endpoints: int) -> TraceAnswer:
    packet = Packet(
        src=IPv4Address("203.0.113.1"), dst=IPv4Address("192.0.2.1"), protocol=TCP, sport=40000, dport=31000
    )
    outcomes = []
    for number, share in enumerate(even_shares(endpoints)):
        address = IPv4Address("10.0.0.0") + number
        weight = Weight({frozenset(): share})
        way = Way(Verdict.ACCEPT, packet, weight, None)
        owner = EndpointOwner("default", f"pod-{number:05}", f"node{number % 7}", listed=True)
        outcomes.append(
            Outcome(
                verdict=Verdict.ACCEPT, address=address, port=80, dnat=True, weight=weight, ways=(way,), backend=owner
            )
        )  # fmt: skip
    evaluation = Evaluation(packet=packet, ways=tuple(outcome.ways[0] for outcome in outcomes))
    trace = NodeTrace(
        node="node1", via="nodeport", packet=packet, evaluation=evaluation, outcomes=tuple(outcomes)
    )
    share = outcomes[-1].bounds[0]
    total = Total("nodeport", None, 4, (NodeShare("node1", share, share),))
    return TraceAnswer(traces=(trace,), totals=(total,))


def probabilities(text: str) -> Sequence[str]:
    return [o["probability"] for t in json.loads(text)["traces"] for o in t["outcomes"]]


@pytest.fixture(scope="module")
def documents() -> dict[int, str]:
    return {endpoints: formats.render(answered(endpoints), "json") for endpoints in (10, 1_000, 5_000)}


@pytest.mark.parametrize("endpoints", [1_000, 5_000])
def test_a_document_grows_with_endpoints_and_not_with_numbers(
    documents: dict[int, str], endpoints: int
) -> None:
    text = documents[endpoints]
    assert len(probabilities(text)) == endpoints
    assert max(map(len, probabilities(text))) <= numbers.LONGEST
    assert len(text) / endpoints < 1.5 * len(documents[10]) / 10


def test_numbers_stay_right(documents: dict[int, str]) -> None:
    outcomes = json.loads(documents[5_000])["traces"][0]["outcomes"]
    assert [o["share"] for o in outcomes[-3:]] == [float(s) for s in even_shares(5_000)[-3:]]
    assert {o.get("exact") for o in outcomes[-3:]} == {False}


@pytest.mark.parametrize("form", ["table", "yaml"])
def test_other_formats_take_a_thousand_endpoints_too(form: str) -> None:
    assert "node1" in formats.render(answered(1_000), form)
