"""A traffic policy's fields, and the errors that name file, line and field."""

from __future__ import annotations

from fractions import Fraction
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.errors import PolicyError
from kinspect.model.check import (
    Assertion,
    Balanced,
    InSync,
    LocalOnly,
    NoTraffic,
    Reachable,
    Scope,
    ServicePattern,
    ToAddress,
    ToNode,
    ToPod,
)  # fmt: skip
from kinspect.parse.user.policy_file import read_policy

HEAD = "apiVersion: kinspect/v1\nkind: TrafficPolicy\nassertions:\n"


def read(items: str) -> list[Assertion]:
    return read_policy((HEAD + items).encode(), "traffic.yaml")


@pytest.mark.parametrize(
    ("item", "claim"),
    [
        ("- no-traffic: {to: drained}", NoTraffic()),
        ("- no-traffic: {to: node/n1}", NoTraffic(to=(ToNode("n1"),))),
        (
            "- no-traffic: {to: [pod/a/b, '10.0.0.1'], includeDaemonsets: true, allowTerminating: true}",
            NoTraffic(
                to=(ToPod("b", "a"), ToAddress(ip_address("10.0.0.1"))),
                include_daemonsets=True,
                allow_terminating=True,
            ),
        ),
        ("- reachable:", Reachable(1)),
        ("- reachable: {endpoints: 3}", Reachable(3)),
        ("- balanced: {tolerance: 10%}", Balanced(Fraction(1, 10))),
        ("- balanced: {tolerance: 0.25}", Balanced(Fraction(1, 4))),
        ("- balanced: {tolerance: 0}", Balanced(Fraction(0))),
        ("- in-sync:", InSync()),
        ("- in-sync: {}", InSync()),
        ("- local-only:", LocalOnly()),
    ],
)
def test_each_assertion_reads(item: str, claim: object) -> None:
    (found,) = read(item)
    assert (found.claim, found.scope) == (claim, Scope())


def test_an_item_has_a_name_and_a_scope_and_knows_its_line() -> None:
    text = HEAD + (
        "- name: web stays\n  local-only:\n  services: [shop/web:https, 'shop/*']\n  ignore: svc/legacy\n"
        "  from: outside\n  via: [nodeport, clusterip]\n  entry: [node1]\n"
    )
    (found,) = read_policy(text.encode(), "traffic.yaml")
    assert (found.name, found.source) == ("web stays", "traffic.yaml:4")
    assert found.scope == Scope(
        services=(ServicePattern("shop", "web", "https"), ServicePattern("shop", "*")),
        ignore=(ServicePattern(None, "legacy"),),
        vias=("nodeport", "clusterip"),
        sources=("outside",),
        nodes=("node1",),
    )


def test_json_is_read_too() -> None:
    text = '{"apiVersion": "kinspect/v1", "kind": "TrafficPolicy", "assertions": [{"in-sync": {}}]}'
    assert [a.claim for a in read_policy(text.encode(), "p.json")] == [InSync()]


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ("- no-trafic: {to: drained}", "traffic.yaml:4: assertions[0].no-trafic is not known (did you mean no-traffic?)"),
        ("- name: x", "traffic.yaml:4: assertions[0] has no assertion (one of no-traffic, reachable, balanced, in-sync, local-only)"),
        ("- in-sync:\n  local-only:", "traffic.yaml:4: assertions[0] has in-sync and local-only: an item has one (one of no-traffic, reachable, balanced, in-sync, local-only)"),
        ("- in-sync:\n- in-sync:\n  in-sync:", "traffic.yaml:6: assertions[1].in-sync is there twice"),
        ("- in-sync: {strict: true}", "traffic.yaml:4: assertions[0].in-sync.strict is not known (known: none)"),
        ("- in-sync: yes", "traffic.yaml:4: assertions[0].in-sync is not a mapping of fields"),
        ("- no-traffic:", "traffic.yaml:4: assertions[0].no-traffic.to is missing (node/NAME, or drained)"),
        ("- no-traffic: {to: []}", "traffic.yaml:4: assertions[0].no-traffic.to is empty (node/NAME, or drained)"),
        ("- no-traffic:\n    to:\n    - node/a\n    - nod/b", "traffic.yaml:7: assertions[0].no-traffic.to[1] cannot read --to 'nod/b' (--to takes node/NAME, pod/NAME, pod/NAMESPACE/NAME or an address)"),
        ("- no-traffic: {to: drained, allowTerminating: maybe}", "traffic.yaml:4: assertions[0].no-traffic.allowTerminating is not true or false"),
        ("- reachable: {endpoints: 0}", "traffic.yaml:4: assertions[0].reachable.endpoints is '0': a number from 1 on"),
        ("- reachable: {endpoints: [1]}", "traffic.yaml:4: assertions[0].reachable.endpoints is not a single value"),
        ("- balanced:", "traffic.yaml:4: assertions[0].balanced.tolerance is missing (such as 10%)"),
        ("- balanced: {tolerance: 1e999999999}", "traffic.yaml:4: assertions[0].balanced.tolerance is '1e999999999': such as 10% or 0.1"),
        ("- in-sync:\n  from: [outside, inside]", "traffic.yaml:5: assertions[0].from[1] is 'inside': one of outside, pod, process"),
        ("- in-sync:\n  services: ['a/b/c']", "traffic.yaml:5: assertions[0].services[0] 'a/b/c' is not a service (svc/NAME[:PORT], NAMESPACE/NAME[:PORT] or NAME[:PORT])"),
        ("- in-sync:\n  services: []", "traffic.yaml:5: assertions[0].services is empty (leave it out for all)"),
        ("- in-sync:\n  entry: ['']", "traffic.yaml:5: assertions[0].entry[0] is empty"),
        ("- &a in-sync:", "traffic.yaml:4: anchors and aliases are not read: write it out"),
        ("- in-sync: *a", "traffic.yaml:4: anchors and aliases are not read: write it out"),
        ("- in-sync: {", "traffic.yaml:4: expected the node content, but found '<stream end>'"),
        ("- in-sync:\n\tservices: a", "traffic.yaml:5: found character '\\t' that cannot start any token"),
        ("  []", "traffic.yaml:4: assertions is empty: nothing would be checked"),
        ("  {}", "traffic.yaml:4: assertions is not a list"),
        ("- [[[[[[[[[[[[[[[[[[[[[[", "traffic.yaml:4: nested too deeply"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_and_field(items: str, says: str) -> None:
    with pytest.raises(PolicyError) as raised:
        read(items)
    assert str(raised.value) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "traffic.yaml: is empty"),
        (b"# nothing\n", "traffic.yaml: is empty"),
        (b"\xff\xfe\x00", "traffic.yaml: not UTF-8 text"),
        (b"a: " + b"x" * 300_000, "traffic.yaml: larger than 256 KiB: that is not a policy file"),
        (b"- 1", "traffic.yaml:1: is not a mapping of fields"),
        (b"kind: TrafficPolicy\n", "traffic.yaml:1: apiVersion is missing: it is kinspect/v1"),
        (b"apiVersion: v2\nkind: TrafficPolicy\n", "traffic.yaml:1: apiVersion is not kinspect/v1"),
        (b"apiVersion: kinspect/v1\nkind: Policy\n", "traffic.yaml:2: kind is not TrafficPolicy"),
        (b"apiVersion: kinspect/v1\nkind: TrafficPolicy\n", "traffic.yaml:1: assertions is missing"),
        (b"a: 1\n---\nb: 2\n", "traffic.yaml:2: but found another document"),
        (b"a: \x00", "traffic.yaml: special characters are not allowed"),
    ],
)
def test_what_is_no_policy_is_said(text: bytes, says: str) -> None:
    with pytest.raises(PolicyError) as raised:
        read_policy(text, "traffic.yaml")
    assert str(raised.value) == says


@given(st.text(alphabet="-:[]{}&*!'\"#|>%@ \n\tabinsyc,?0\\", max_size=60))
def test_any_text_is_a_policy_or_an_error(text: str) -> None:
    for whole in (text, HEAD + text):
        try:
            read_policy(whole.encode(), "traffic.yaml")
        except PolicyError as error:
            assert "\n" not in str(error)
