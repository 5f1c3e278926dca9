"""What ``iptables -L`` prints for an extension stands for options that the extension reads."""

from __future__ import annotations

from typing import Literal

import pytest

from kinspect.netfilter.printed import forms
from kinspect.parse.rules.rule import parse_rule


def read(kind: Literal["matches", "targets"], text: str) -> list[str]:
    """The options of every form that the whole text has."""
    found = [form.read(text) for form in forms(kind)]
    return [words for words, end in filter(None, found) if end == len(text)]


MATCHES = [
    ('/* ns/web:"http" */', '-m comment --comment "ns/web:\\"http\\""'),
    ("dpt:80", "--dport 80"),
    ("dpts:!1:5", "! --dport 1:5"),
    ("tcp flags:0x17/0x02", "--tcp-flags FIN,SYN,RST,ACK SYN"),
    ("multiport sports !1,2", "-m multiport ! --sports 1,2"),
    ("ctstate NEW,ESTABLISHED", "-m conntrack --ctstate NEW,ESTABLISHED"),
    ("! ctstate INVALID", "-m conntrack ! --ctstate INVALID"),
    ("statistic mode random probability 0.5", "-m statistic --mode random --probability 0.5"),
    ("statistic mode random ! probability 0.5", "-m statistic --mode random ! --probability 0.5"),
    ("statistic mode nth ! every 3 packet 1", "-m statistic --mode nth ! --every 3 --packet 1"),
    ("mark match ! 0x4000/0x4000", "-m mark ! --mark 0x4000/0x4000"),
    ("ADDRTYPE match dst-type !LOCAL", "-m addrtype ! --dst-type LOCAL"),
    ("! match-set pods src,dst", "-m set ! --match-set pods src,dst"),
    ("icmptype 3 code 1", "--icmp-type 3/1"),
    ("recent: UPDATE seconds: 60 hit_count: 4 name: ssh side: source mask: 255.255.255.255",
     "-m recent --update --seconds 60 --hitcount 4 --name ssh --rsource"),
    ("owner UID match ! 0", "-m owner ! --uid-owner 0"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "options"), MATCHES, ids=[text for text, _ in MATCHES])
def test_a_match_becomes_its_options_and_they_are_read(text: str, options: str) -> None:
    assert read("matches", text) == [options]
    protocol = "-p icmp" if "icmp" in options else "-p tcp"
    parse_rule(f"-A INPUT {protocol} {options} -j ACCEPT", source="listing", line=1, number=1, family=4)


TARGETS = [
    ("reject-with icmp-port-unreachable", "REJECT", "--reject-with icmp-port-unreachable"),
    ("redir ports 80", "REDIRECT", "--to-ports 80"),
    ("random-fully", "MASQUERADE", "--random-fully"),
    ("MARK or 0x4000", "MARK", "--or-mark 0x4000"),
    ("CONNMARK restore mask 0xff", "CONNMARK", "--restore-mark --mask 0xff"),
]


@pytest.mark.parametrize(("text", "target", "options"), TARGETS, ids=[text for text, _, _ in TARGETS])
def test_a_target_becomes_its_options_and_they_are_read(text: str, target: str, options: str) -> None:
    assert read("targets", text) == [options]
    parse_rule(f"-A X -p tcp -j {target} {options}", source="listing", line=1, number=1, family=4)
