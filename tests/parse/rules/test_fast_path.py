"""The quick reading of a rule is the reading of ``parse.rules.rule``, or leaves it to that."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinspect.errors import RulesError
from kinspect.model.packet import Family
from kinspect.model.rules import Rule
from kinspect.parse.rules import fast_path as quick
from kinspect.parse.rules.rule import parse_rule
from tests.clusters import DATA


def slow(text: str, family: Family = 4) -> Rule | str:
    try:
        return parse_rule(text, source="f", line=7, number=3, counters=None, family=family)
    except RulesError as error:
        return str(error)


def fast(text: str, family: Family = 4) -> Rule | str:
    try:
        return quick.read_rule(text, source="f", line=7, number=3, counters=None, family=family)
    except RulesError as error:
        return str(error)


def recorded() -> list[tuple[str, Family]]:
    found: dict[tuple[str, Family], None] = {}
    for path in sorted(DATA.glob("*/nodes/*/ip*save.txt")):
        family: Family = 6 if path.name.startswith("ip6") else 4
        for line in path.read_text().splitlines():
            if "-A " in line:
                found[line[line.index("-A ") :], family] = None
    return list(found)


def test_recorded_rules_are_read_alike_and_nearly_all_by_the_quick_way() -> None:
    rules = recorded()
    assert len(rules) > 500
    left = [text for text, family in rules if quick._made(text, 7, 3, None, family) is None]
    assert [text for text, family in rules if fast(text, family) != slow(text, family)] == []
    assert len(left) < len(rules) / 10, left[:20]


WORDS = st.sampled_from(
    ["-s 10.0.0.1/32", "! -s 10.0.0.0/8", "-d 10.0.0.1/32", "-d x", "-p tcp", "-p udp", "! -p tcp", "-i eth0", "! -o eth+", "-o", "-m",
     "-m comment --comment x", '-m comment --comment "a \\" b"', '-m comment --comment "-j DROP"', "-m comment --comment !", "-m comment",
     "-m tcp --dport 80", "-m tcp ! --dport 80", "-m tcp --dport", "-m tcp", "-m udp --dport 53", "--dport 80", "-m mark --mark 0x4000/0x4000",
     "-m mark --mark 0x4000 --dport 80", "-m mark ! --mark 1 --sport 9", "-m addrtype --dst-type LOCAL", "-m addrtype ! --src-type LOCAL,UNICAST",
     "-m statistic --mode random --probability 0.50000000000", "-m statistic --mode random --probability 7", "-m conntrack --ctstate NEW,DNAT",
     "-m conntrack ! --ctstate INVALID --ctproto 6", "-m set --match-set a dst,dst", "-m limit --limit 5/min", "-m state --state NEW",
     "-m multiport --dports 80,81", "-m recent --set --name x", "-m nobody --knows this", "-j DROP", "-j KUBE-SEP-X", "-g KUBE-SEP-X",
     "-j DNAT --to-destination 10.0.0.1:80", "-j DNAT --to-destination", "-j MARK --set-xmark 0x4000/0x0", "-j MARK --set-xmark 0x4000/0x0 --dport 80",
     "-j MASQUERADE --random-fully", '-j LOG --log-prefix "a b"', "-j REJECT --reject-with icmp-port-unreachable", "# why", "[12:720]", "!", '"', "-c 1 2", "é"]
)  # fmt: skip


@settings(max_examples=1500)
@given(st.lists(WORDS, max_size=6), st.sampled_from([4, 6]), st.sampled_from([" ", " ", " ", "  "]))
def test_any_rule_is_read_alike(words: list[str], family: Family, gap: str) -> None:
    text = gap.join(["-A A", *words])
    assert fast(text, family) == slow(text, family)


@pytest.mark.parametrize(
    "text", ["-A A -m mark --mark 1 --dport 80", "-A A -p tcp -m tcp -m mark --mark 1 --dport 80"]
)
def test_an_option_of_an_earlier_match_is_left_to_the_slow_way(text: str) -> None:
    assert quick._made(text, 1, 1, None, 4) is None
