"""``kinspect check --policy`` on recorded clusters: each assertion, held and not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.altered import Altered
from tests.cli.run import Ran, kinspect
from tests.clusters import DATA

HEAD = "apiVersion: kinspect/v1\nkind: TrafficPolicy\nassertions:\n"
WEB = "\n  services: [default/test-service]"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return tmp_path / "traffic.yaml"


def asserted(policy: Path, items: str, cluster: object, *argv: str) -> Ran:
    policy.write_text(HEAD + items)
    path = str(DATA / cluster) if isinstance(cluster, str) else str(cluster)
    return kinspect("check", "--policy", str(policy), "--snapshot", path, *argv)


@pytest.mark.parametrize(
    ("items", "story", "code"),
    [
        ("- no-traffic: {to: node/node2}", "story-1-both-nodes", 1),
        ("- no-traffic: {to: node/node2}", "story-3-pod-relabelled", 0),
        ("- no-traffic: {to: drained}", "story-4-node2-cordoned", 1),
        ("- no-traffic: {to: drained}", "story-1-both-nodes", 0),
        ("- reachable: {endpoints: 2}" + WEB, "story-1-both-nodes", 0),
        ("- reachable: {endpoints: 3}" + WEB, "story-1-both-nodes", 1),
        ("- reachable: {endpoints: 2}" + WEB, "story-5-local-policy", 1),
        ("- reachable: {endpoints: 2}\n  from: [pod, process]" + WEB, "story-5-local-policy", 0),
        ("- reachable: {endpoints: 2}\n  services: shop/live-one-local", "zoo-nft", 1),
        ("- reachable:\n  from: outside\n  services: shop/cart", "zoo-nft", 1),
        ("- reachable:\n  services: shop/empty", "zoo-nft", 1),
        ("- balanced: {tolerance: 0}", "zoo-nft", 0),
        ("- balanced: {tolerance: 0}", "story-6-node1-stale", 1),
        ("- balanced: {tolerance: 25%}" + WEB, "story-6-node1-stale", 1),
        ("- balanced: {tolerance: 49%}" + WEB, "story-6-node1-stale", 1),
        ("- balanced: {tolerance: 50%}" + WEB, "story-6-node1-stale", 0),
        ("- in-sync:", "story-6-node1-stale", 1),
        ("- in-sync:\n  entry: node2", "story-6-node1-stale", 0),
        ("- local-only:", "story-1-both-nodes", 1),
        ("- local-only:\n  from: outside", "story-5-local-policy", 0),
        ("- local-only:\n  via: clusterip", "story-5-local-policy", 1),
        ("- local-only:\n  services: shop/node-agent", "zoo-nft", 0),
        ("- in-sync:", "mode-nftables", 3),
        ("- reachable:", "mode-nftables", 3),
    ],
)
def test_each_assertion_holds_or_not(policy: Path, items: str, story: str, code: int) -> None:
    ran = asserted(policy, items, story)
    assert ran.code == code, ran.out + ran.err


def test_a_service_without_such_a_way_in_is_not_reachable(policy: Path) -> None:
    ran = asserted(policy, "- reachable:\n  from: outside\n  services: shop/cart", "zoo-nft")
    assert "there is no such way into the service" in ran.out


def test_policy_local_with_uneven_nodes_is_unbalanced(policy: Path, tmp_path: Path) -> None:

    # Recorded as it is: each node keeps its own endpoint, so entered alike, each gets half.
    assert (
        asserted(policy, "- balanced: {tolerance: 0}\n  from: outside" + WEB, "story-5-local-policy").code
        == 0
    )
    lost = Altered("story-5-local-policy", tmp_path).rules("node2", "10.42.20.2:80\n", "10.42.19.2:80\n")
    ran = asserted(policy, "- balanced: {tolerance: 10%}\n  from: outside" + WEB, lost)
    assert ran.code == 1
    assert "all goes to 10.42.19.2:80, pod default/test-server-1 on node1; its fair share is 1/2" in ran.out


def test_several_assertions_have_one_line_each_and_one_exit_code(policy: Path) -> None:
    items = "- name: first\n  in-sync:\n- name: second\n  local-only:\n"
    ran = asserted(policy, items, "story-1-both-nodes")
    assert ran.code == 1
    assert ran.out.splitlines()[0] == "FAILED  2 assertions: 1 not held, 1 held"
    assert "PASSED  first: holds for new connections to 2 services" in ran.out
    assert "FAILED  second: does not hold for 1 of 2 services" in ran.out


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ("- no-traffic: {to: node/node9}", ":4: there is no node node9"),
        ("- in-sync:\n- in-sync:\n  services: default/nope", ":5: there is no service default/nope"),
        ("- in-sync:\n- in-sync:\n  services: 'nowhere/*'", ":5: no service is nowhere/*"),
        ("- in-sync:\n  entry: node9", ":4: there is no node node9"),
    ],
)
def test_names_that_do_not_exist_are_errors_at_their_line(policy: Path, items: str, says: str) -> None:
    ran = asserted(policy, items, "story-1-both-nodes")
    assert (ran.code, ran.out) == (2, "")
    assert f"{policy}{says}" in ran.err


def test_an_assertion_about_no_traffic_is_not_held(policy: Path) -> None:
    ran = asserted(policy, "- in-sync:\n- in-sync:\n  via: loadbalancer", "story-1-both-nodes")
    assert ran.code == 3
    assert ran.out.splitlines()[0] == "UNDETERMINED  2 assertions: 1 undetermined, 1 held"


def test_ignore_goes_for_all_assertions(policy: Path) -> None:
    ran = asserted(policy, "- local-only:", "story-1-both-nodes", "--ignore", "default/test-service")
    assert ran.code == 0


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("drained",), "--policy and drained exclude each other"),
        (("--to", "node/node2"), "is said in the file"),
        (("--allow-terminating",), "is said in the file"),
    ],
)
def test_the_file_says_it_all(policy: Path, argv: tuple[str, ...], says: str) -> None:
    policy.write_text(HEAD + "- in-sync:")
    ran = kinspect("check", *argv, "--policy", str(policy), "--demo")
    assert ran.code == 2
    assert says in ran.err


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    ran = kinspect("check", "--policy", str(tmp_path / "none.yaml"), "--demo")
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert "none.yaml: cannot be read: No such file or directory" in ran.err
