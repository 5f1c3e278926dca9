"""The article's question, asked of the recorded clusters as an on-call engineer would."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.run import kinspect
from tests.clusters import DATA


def traced(story: str, *argv: str) -> Any:
    ran = kinspect("trace", "svc/test-service", "--snapshot", str(DATA / story), "-o", "json", *argv)
    assert ran.code == 0, ran.err
    return ran.json


def shares(document: Any, node: str) -> dict[str, str]:
    (trace,) = [trace for trace in document["traces"] if trace["node"] == node]
    return {outcome["to"] or outcome["verdict"]: outcome["probability"] for outcome in trace["outcomes"]}


def texts(document: Any) -> str:
    return " ".join(remark["text"] for remark in document["remarks"])


@pytest.mark.parametrize("story", ["story-1-both-nodes", "story-2-node-relabelled", "story-4-node2-cordoned"])
def test_each_node_splits_in_halves_under_policy_cluster(story: str) -> None:
    document = traced(story)
    half = {"10.42.19.2:80": "1/2", "10.42.20.2:80": "1/2"}
    assert shares(document, "node1") == half
    assert shares(document, "node2") == half
    assert [(d["node"], d["share"]) for d in document["destinations"]] == [("node1", 0.5), ("node2", 0.5)]


def test_node2s_half_of_what_enters_at_node1_crosses_and_the_source_is_a_nodes() -> None:
    document = traced("story-1-both-nodes")
    outcomes = {o["to"]: o for o in document["traces"][0]["outcomes"]}
    assert outcomes["10.42.20.2:80"]["endpoint"]["node"] == "node2"
    assert outcomes["10.42.20.2:80"]["snat"] == "192.168.0.11"
    assert outcomes["10.42.19.2:80"]["snat"] == "10.42.19.1"
    assert (
        "Half of what enters at node1 leaves for node2, because externalTrafficPolicy is Cluster."
        in texts(document)
    )
    assert "The pods see an address of the node as the source" in texts(document)


def test_the_balancer_that_sends_to_node1_only_still_feeds_node2() -> None:
    document = traced("story-1-both-nodes", "--entry", "node1")
    assert [trace["node"] for trace in document["traces"]] == ["node1"]
    assert [(d["node"], d["share"]) for d in document["destinations"]] == [("node1", 0.5), ("node2", 0.5)]


def test_weights_of_entry_nodes_weigh_the_totals() -> None:
    document = traced("story-5-local-policy", "--entry", "node1=3", "--entry", "node2=1")
    assert [(d["node"], d["share"]) for d in document["destinations"]] == [("node1", 0.75), ("node2", 0.25)]


def test_a_label_on_the_node_is_said_to_change_nothing() -> None:
    assert "asks for labels of pods, not of nodes" in texts(traced("story-2-node-relabelled"))
    assert "asks for labels of pods" not in texts(traced("story-1-both-nodes"))


def test_a_pod_without_the_label_gets_nothing() -> None:
    document = traced("story-3-pod-relabelled")
    assert shares(document, "node1") == shares(document, "node2") == {"10.42.19.2:80": "1"}


def test_a_cordoned_node_is_reported_with_its_share() -> None:
    assert "node2 is cordoned but still receives half of the traffic" in texts(
        traced("story-4-node2-cordoned")
    )


def test_under_policy_local_nothing_crosses_and_clients_are_seen() -> None:
    document = traced("story-5-local-policy")
    assert shares(document, "node1") == {"10.42.19.2:80": "1"}
    assert shares(document, "node2") == {"10.42.20.2:80": "1"}
    assert all(o["snat"] is None for trace in document["traces"] for o in trace["outcomes"])
    assert "Nothing crosses nodes" in texts(document)


def test_a_stale_node_is_found_by_what_it_does() -> None:
    document = traced("story-6-node1-stale", "--via", "clusterip")
    outcomes = {o["to"]: o for o in document["traces"][0]["outcomes"]}
    assert outcomes["10.42.20.2:80"]["probability"] == "1/2"
    assert outcomes["10.42.20.2:80"]["endpoint"]["listed"] is False
    assert "node1 still sends half of its cluster IP traffic to 10.42.20.2:80" in texts(document)
    assert "which the API does not list" in texts(document)
    assert shares(document, "node2") == {"10.42.19.2:80": "1"}


def test_a_process_on_a_node_is_seen_with_the_nodes_address() -> None:
    document = traced("story-1-both-nodes", "--from", "node/node1")
    (trace,) = document["traces"]
    assert (trace["via"], trace["packet"]["src"], trace["packet"]["iif"]) == (
        "clusterip",
        "192.168.0.11",
        None,
    )
    assert {o["snat"] for o in trace["outcomes"]} == {"10.42.19.1", "192.168.0.11"}


def test_a_pod_that_reaches_itself_is_masqueraded() -> None:
    document = traced("story-1-both-nodes", "--from", "pod/test-server-1")
    (trace,) = document["traces"]
    assert {o["to"]: o["snat"] for o in trace["outcomes"]} == {
        "10.42.19.2:80": "10.42.19.1",
        "10.42.20.2:80": None,
    }


def test_exact_shares_sum_to_one() -> None:
    from fractions import Fraction

    ran = kinspect("trace", "shop/wide", "--snapshot", str(DATA / "zoo-nft"), "-o", "json")
    for trace in ran.json["traces"]:
        sums = sum((Fraction(o["probability"]) for o in trace["outcomes"]), Fraction(0))
        if any("exact" in o for o in trace["outcomes"]):  # 40 endpoints: some are too long to be written
            assert abs(sums - 1) < Fraction(1, 10**70)
        else:
            assert sums == 1
        assert len(trace["outcomes"]) == 50
