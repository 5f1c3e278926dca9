"""Hooks and tables in the kernel's order, nat bindings, routing between them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from ipaddress import ip_address

import pytest

from kinspect.evaluate.path import Journey, Point, evaluate
from kinspect.evaluate.walk import Branch
from kinspect.model.host import PolicyRule
from kinspect.model.packet import CtState, Packet, Translation
from kinspect.model.questions import Input, Question
from tests.evaluate.host import HOST, OWN, dump, ends, ends_of, incoming, outgoing, route

HALF = Fraction(1, 2)
POD = "10.1.0.9"


def chains(table: str, **policies: str) -> str:
    return "\n".join([f"*{table}", *(f":{name} {policy} [0:0]" for name, policy in policies.items())])


PRE = chains("nat", PREROUTING="ACCEPT", OUTPUT="ACCEPT", POSTROUTING="ACCEPT", INPUT="ACCEPT")
DNAT = f"{PRE}\n-A PREROUTING -p tcp -m tcp --dport 80 -j DNAT --to-destination {POD}:8080"


KNOWN = Translation(
    src=ip_address("203.0.113.1"),
    sport=40000,
    dst=ip_address(OWN),
    dport=81,
    reply=False,
    dnat=True,
    snat=False,
)


@pytest.mark.parametrize(
    ("text", "probe", "found"),
    [
        pytest.param(DNAT, incoming(), {f"{POD}:8080": 1}, id="DNAT rewrites address and port"),
        pytest.param(DNAT, outgoing(OWN), {f"{OWN}:80": 1}, id="PREROUTING does not see what is made here"),
        pytest.param(
            f"{PRE}\n-A OUTPUT -d 10.9.9.9/32 -j DNAT --to-destination {POD}", outgoing("10.9.9.9"), {f"{POD}:80": 1}, id="OUTPUT does"
        ),
        pytest.param(
            f"{DNAT}\n{chains('filter', FORWARD='ACCEPT')}\n-A FORWARD -d {POD}/32 -o cni0 -j DROP", incoming(), {"DROP": 1},
            id="routing and filter go by the new destination",
        ),
        pytest.param(
            f"{chains('filter', INPUT='DROP', FORWARD='ACCEPT')}\n{DNAT}", incoming(), {f"{POD}:8080": 1}, id="what is forwarded meets no INPUT"
        ),
        pytest.param(
            f"{PRE}\n-A PREROUTING -j DNAT --to-destination {POD}:1\n-A PREROUTING -j DNAT --to-destination {POD}:2",
            incoming(), {f"{POD}:1": 1}, id="the first binding ends the nat walk",
        ),
        pytest.param(
            f"{PRE}\n-A PREROUTING -j ACCEPT\n-A PREROUTING -j DNAT --to-destination {POD}", incoming(), {f"{OWN}:80": 1},
            id="ACCEPT in nat leaves the address as it is",
        ),
        pytest.param(
            f"{DNAT}\n-A POSTROUTING -d {POD}/32 -j MASQUERADE", incoming(), {f"{POD}:8080 as 10.1.0.1": 1},
            id="MASQUERADE takes the outgoing interface's address",
        ),
        pytest.param(
            f"{PRE}\n-A PREROUTING -j DNAT --to-destination 203.0.113.5\n-A POSTROUTING -j MASQUERADE",
            incoming(), {f"203.0.113.5:80 as {OWN}": 1}, id="and another's by another route",
        ),
        pytest.param(
            f"{DNAT}\n-A POSTROUTING -j SNAT --to-source 192.0.2.77", incoming(), {f"{POD}:8080 as 192.0.2.77": 1}, id="SNAT takes the one it names"
        ),
        pytest.param(
            f"{PRE}\n-A PREROUTING -j DNAT --to-destination {OWN}:9\n-A POSTROUTING -j MASQUERADE", incoming(), {f"{OWN}:9": 1},
            id="what is delivered here meets no POSTROUTING",
        ),
        pytest.param(
            f"{DNAT}\n{chains('filter', FORWARD='DROP')}\n-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT", incoming(), {f"{POD}:8080": 1},
            id="DNAT is a state once the binding is made",
        ),
        pytest.param(
            f"{chains('raw', PREROUTING='ACCEPT')}\n-A PREROUTING -m conntrack --ctstate NEW -j DROP", incoming(), {f"{OWN}:80": 1},
            id="before conntrack there is no state NEW",
        ),
        pytest.param(
            f"{chains('mangle', PREROUTING='ACCEPT')}\n-A PREROUTING -m conntrack --ctstate NEW -j DROP", incoming(), {"DROP": 1},
            id="behind it there is",
        ),
        pytest.param(
            f"{chains('filter', INPUT='ACCEPT', OUTPUT='ACCEPT')}\n-A INPUT -i lo -j DROP", outgoing(OWN), {"DROP": 1},
            id="to itself a host sends by lo, and meets its INPUT",
        ),
        pytest.param(
            f"{PRE}\n-A OUTPUT -p tcp -j DNAT --to-destination {OWN}:9\n-A PREROUTING -j DNAT --to-destination {POD}",
            outgoing("10.9.9.9"), {f"{OWN}:9": 1}, id="and nat is not asked a second time",
        ),
        pytest.param(f"{PRE}\n-A PREROUTING -j DNAT --to-destination {POD}", incoming(state=CtState.ESTABLISHED, translation=KNOWN), {f"{OWN}:81": 1},
            id="an established connection meets no nat rule",
        ),
        pytest.param(f"{PRE}\n-A PREROUTING -j DNAT --to-destination {POD}", incoming(state=CtState.UNTRACKED), {f"{OWN}:80": 1},
            id="nor does an untracked packet",
        ),
        pytest.param("", incoming("192.0.2.255"), {"192.0.2.255:80": 1}, id="a broadcast is delivered"),
    ],
)  # fmt: skip
def test_where_a_packet_goes(text: str, probe: Packet, found: dict[str, object]) -> None:
    assert ends(text or chains("filter", INPUT="ACCEPT"), probe) == found


def test_a_host_that_does_not_forward_drops() -> None:
    host = replace(HOST, sysctls={"net.ipv4.ip_forward": "0"})
    (way,) = evaluate(incoming(), host, [dump(DNAT)])
    assert way.verdict.value == "DROP"
    assert "net.ipv4.ip_forward is 0" in way.events()[-1].where  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "verdict"), [("blackhole", "DROP"), ("unreachable", "REJECT"), ("prohibit", "REJECT")]
)
def test_routes_that_lead_nowhere(kind: str, verdict: str) -> None:
    assert HOST.routes is not None
    host = replace(HOST, routes=[*HOST.routes, route("10.1.0.9/32", "lo", type=kind)])
    assert ends(DNAT, incoming(), host) == {verdict: 1}


def test_without_routes_an_interface_rule_is_undecided() -> None:
    host = replace(HOST, routes=None, links=None)
    text = f"{DNAT}\n{chains('filter', FORWARD='ACCEPT')}\n-A FORWARD -o cni0 -j DROP"
    assert ends(text, incoming(), host) == {"DROP": (0, 1), f"{POD}:8080": (0, 1)}


def test_without_addresses_whether_it_is_for_this_host_is_a_question() -> None:
    host = replace(HOST, routes=None, links=None, addresses=None)
    text = f"{chains('filter', INPUT='DROP', FORWARD='ACCEPT')}"
    evaluation = evaluate(incoming(), host, [dump(text)])
    assert ends_of(evaluation) == {"DROP": (0, 1), f"{OWN}:80": (0, 1)}
    (question,) = evaluation.ways[0].weight.questions()
    assert question == Question(
        "own-address", f"{OWN} is an address of this host", (Input("local-address", OWN),)
    )


def test_policy_routing_goes_by_the_mark() -> None:
    assert HOST.routes is not None
    usual = [PolicyRule(0, "local"), PolicyRule(32766, "main")]
    host = replace(
        HOST,
        routes=[*HOST.routes, route("default", "tun0", table="7")],
        rules={4: [*usual, PolicyRule(100, "7", mark=(0x1, 0xFF))]},
    )
    text = f"{chains('mangle', OUTPUT='ACCEPT')}\n-A OUTPUT -p tcp -j MARK --set-xmark 0x1/0xff"
    text += "\n" + chains("filter", OUTPUT="ACCEPT") + "\n-A OUTPUT -o {} -j DROP"
    # All of OUTPUT sees the interface that was chosen before it (nf_hook_state), POSTROUTING the new one.
    later = f"{chains('mangle', OUTPUT='ACCEPT', POSTROUTING='ACCEPT')}\n-A OUTPUT -p tcp -j MARK --set-xmark 0x1/0xff"
    later += "\n-A POSTROUTING -o tun0 -j DROP"
    assert ends(text.format("tun0"), outgoing("203.0.113.5"), host) == {"203.0.113.5:80": 1}
    assert ends(text.format("eth0"), outgoing("203.0.113.5"), host) == {"DROP": 1}
    assert ends(later, outgoing("203.0.113.5"), host) == {"DROP": 1}
    text = later
    assert ends(text, outgoing("203.0.113.5"), replace(host, rules={4: usual})) == {"203.0.113.5:80": 1}


def test_both_back_ends_must_accept() -> None:
    first, second = dump(chains("filter", INPUT="ACCEPT")), dump(chains("filter", INPUT="DROP"))
    assert ends_of(evaluate(incoming(), HOST, [first, second])) == {"DROP": 1}


def test_two_nat_tables_are_asked_in_an_order_that_no_dump_tells() -> None:
    one = dump(f"{PRE}\n-A PREROUTING -j DNAT --to-destination {POD}:1")
    two = dump(f"{PRE}\n-A PREROUTING -j DNAT --to-destination {POD}:2")
    assert ends_of(evaluate(incoming(), HOST, [one, two])) == {f"{POD}:1": (0, 1), f"{POD}:2": (0, 1)}
    assert ends_of(evaluate(incoming(), HOST, [one, one])) == {f"{POD}:1": 1}


def test_a_hairpin_is_masqueraded_with_the_bridges_address() -> None:
    text = f"{PRE}\n-A PREROUTING -d 10.9.9.9/32 -j DNAT --to-destination {POD}:80\n-A POSTROUTING -s {POD}/32 -d {POD}/32 -j MASQUERADE"
    probe = incoming("10.9.9.9", src=POD).replace(iif="cni0")
    assert ends(text, probe) == {f"{POD}:80 as 10.1.0.1": 1}


def test_whoever_is_beyond_nat_gets_the_branch_and_may_follow_it() -> None:
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j DNAT --to-destination 10.1.0.9:8080"
    seen: list[tuple[Point, str]] = []

    def beyond(journey: Journey, point: Point, branch: Branch) -> None:
        seen.append((point, str(branch.packet.dst)))
        journey.follow(point, branch)

    evaluation = evaluate(incoming(), HOST, [dump(text)], beyond=beyond)
    assert seen == [("came in", "10.1.0.9")]
    assert evaluation == evaluate(incoming(), HOST, [dump(text)])
