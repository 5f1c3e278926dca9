from __future__ import annotations

import pytest

from kinspect.model.packet import CtState, Packet
from tests.netfilter.tables import Answer, answer, packet, refused

OLD = packet(state=CtState.ESTABLISHED)
ERROR = packet(state=CtState.RELATED, protocol=1, icmp_type=3, icmp_code=4)
DNATED = packet(dport=5353, dnat=True, original=packet(dst="10.96.0.10"))
STATES = "INVALID, NEW, ESTABLISHED, RELATED, UNTRACKED"
BOTH = "the connection expires in 9 seconds and the packet travels in its connection's reply direction"

ANSWERS = [
    ("-m conntrack --ctstate NEW", packet(), True),
    ("-m conntrack --ctstate RELATED,ESTABLISHED", packet(), False),
    ("-m conntrack ! --ctstate RELATED,ESTABLISHED", packet(), True),
    ("-m conntrack --ctstate RELATED,ESTABLISHED,DNAT", packet(dnat=True), True),
    ("-m conntrack --ctstate SNAT", packet(dnat=True), False),
    ("-m conntrack --ctstate DN", packet(dnat=True), True),  # cut short, as iptables takes it
    ("-m state --state NEW", packet(), True),
    ("-m state --state ESTABLISHED,RELATED", packet(state=CtState.ESTABLISHED), True),
    # Table raw: conntrack has not seen it yet.
    ("-m conntrack --ctstate INVALID", packet(tracked=False), True),
    ("-m conntrack --ctstate NEW", packet(tracked=False), False),
    ("-m conntrack --ctstate UNTRACKED", packet(untracked=True, tracked=False), True),
    ("-m conntrack --ctstate DNAT", packet(state=CtState.UNTRACKED, dnat=True), False),
    # Without a connection the state alone is looked at.
    ("-m conntrack --ctproto 17", packet(tracked=False), False),
    ("-m conntrack --ctstate INVALID --ctproto 6", packet(tracked=False), True),
    ("-m conntrack ! --ctstate NEW --ctorigsrc 9.9.9.9", packet(tracked=False), True),
    ("-m conntrack --ctstate UNTRACKED --ctproto 6", packet(state=CtState.UNTRACKED), True),
    ("-m conntrack --ctproto 17", packet(state=CtState.UNTRACKED), False),
    ("-m conntrack --ctstate NEW --ctproto 17 --ctorigsrcport 40000 --ctorigdstport 53", packet(), True),
    ("-m conntrack --ctstate NEW --ctproto 6", packet(), False),
    ("-m conntrack ! --ctproto 6", packet(), True),
    ("-m conntrack --ctproto tcp", ERROR, "the connection that the packet is related to is tcp"),
    ("-m conntrack --ctorigsrc 10.1.0.0/16 --ctorigdst 10.96.0.10", DNATED, True),
    ("-m conntrack --ctorigdst 10.2.0.2", DNATED, False),
    ("-m conntrack ! --ctorigdst 10.2.0.2", DNATED, True),
    ("-m conntrack --ctreplsrc 10.2.0.2 --ctreplsrcport 5353", DNATED, True),
    ("-m conntrack --ctrepldst 10.1.0.2 --ctrepldstport 39999:40001", DNATED, True),
    ("-m conntrack --ctrepldstport 1:2", DNATED, False),
    (
        "-m conntrack --ctorigdstport 53",
        packet(dport=None),
        "the original destination port of the connection is in 53",
    ),
    ("-m conntrack --ctreplsrc 10.2.0.2", OLD, "the reply source of the connection is in 10.2.0.2"),
    ("-m conntrack --ctorigdst 10.2.0.2", OLD, "the original destination of the connection is in 10.2.0.2"),
    ("-m conntrack --ctorigdst 10.2.0.2", packet(state=CtState.ESTABLISHED, reply=False), True),
    ("-m conntrack --ctreplsrc 10.1.0.2", packet(state=CtState.ESTABLISHED, reply=True), True),
    ("-m conntrack --ctdir ORIGINAL", packet(), True),
    ("-m conntrack --ctdir REPLY", packet(), False),
    ("-m conntrack ! --ctdir REPLY", packet(), True),
    ("-m conntrack --ctdir REPLY", OLD, "the packet travels in its connection's reply direction"),
    ("-m conntrack --ctdir ORIGINAL", OLD, "not the packet travels in its connection's reply direction"),
    ("-m conntrack --ctstatus NONE", packet(), False),
    ("-m conntrack ! --ctstatus NONE", packet(), True),
    ("-m conntrack --ctstatus CONFIRMED", packet(), False),
    ("-m conntrack ! --ctstatus EXPECTED,SEEN_REPLY", packet(), True),
    ("-m conntrack --ctstatus ASSURED,CONFIRMED", OLD, True),
    ("-m conntrack --ctstatus ASSURED", OLD, "the connection's status is ASSURED"),
    ("-m conntrack --ctexpire 10:20", packet(), "the connection expires in 10:20 seconds"),
    ("-m conntrack --ctexpire 9 --ctdir REPLY", OLD, BOTH),
    ("-m conntrack --ctexpire 9 --ctproto 6", OLD, False),
]
REFUSED = [
    ("-m conntrack", "expected --ctstate or another option of conntrack", "-m"),
    ("-m conntrack --ctstate", "expected a value after --ctstate", "--ctstate"),
    ("-m conntrack --ctstate OLD", f"expected a list of {STATES}, SNAT, DNAT after --ctstate", "OLD"),
    ("-m conntrack --ctstate NEW,", f"expected a list of {STATES}, SNAT, DNAT after --ctstate", "NEW,"),
    ("-m state --state DNAT", f"expected a list of {STATES} after --state", "DNAT"),
    ("-m conntrack --ctproto x", "expected a protocol after --ctproto", "x"),
    ("-m conntrack --ctorigsrc 10.0", "expected an address or network after --ctorigsrc", "10.0"),
    ("-m conntrack --ctorigsrcport 1-2", "expected a port or range after --ctorigsrcport", "1-2"),
    ("-m conntrack --ctdir BACK", "expected ORIGINAL or REPLY after --ctdir", "BACK"),
    ("-m conntrack --ctexpire soon", "expected seconds, as N or N:N, after --ctexpire", "soon"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
