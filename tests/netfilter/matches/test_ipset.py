from __future__ import annotations

import pytest

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.parse.node.ipset import read_ipset
from tests.netfilter.tables import Answer, answer, packet, refused

SETS_HOST = Host(
    sets=read_ipset(
        """\
create web hash:ip family inet hashsize 1024 maxelem 65536
add web 10.2.0.2
create pairs hash:ip,port family inet
add pairs 10.2.0.2,udp:53
create nets hash:net family inet
add nets 10.3.0.0/16
add nets 10.3.1.0/24 nomatch
create counted hash:ip family inet counters
add counted 10.2.0.2 packets 7 bytes 700
create list list:set size 8
add list web
""",
        source="ipset-save.txt",
    )
)

ANSWERS = [
    ("-m set --match-set web dst", packet(), SETS_HOST, True),
    ("-m set ! --match-set web dst", packet(), SETS_HOST, False),
    ("-m set --match-set web src", packet(), SETS_HOST, False),
    ("-m set --match-set web dst,dst", packet(), SETS_HOST, True),  # more directions than it needs
    ("-m set --set web dst", packet(), SETS_HOST, True),
    ("-m set --match-set pairs dst,dst", packet(), SETS_HOST, True),
    ("-m set --match-set pairs dst,src", packet(), SETS_HOST, False),
    ("-m set --match-set pairs dst", packet(), SETS_HOST, False),  # fewer: it holds nothing
    ("-m set ! --match-set pairs dst", packet(), SETS_HOST, True),
    ("-m set --match-set web dst ! --update-counters ! --update-subcounters", packet(), SETS_HOST, True),
    ("-m set --match-set nets dst", packet(dst="10.3.1.1"), SETS_HOST, False),
    ("-m set --match-set nets dst --return-nomatch", packet(dst="10.3.1.1"), SETS_HOST, True),
    ("-m set --match-set nets dst --return-nomatch", packet(dst="10.3.2.1"), SETS_HOST, False),
    ("-m set --match-set web dst --return-nomatch", packet(), SETS_HOST, True),  # a type without nomatch
    # What its member has counted.
    (
        "-m set --match-set counted dst --packets-gt 5",
        packet(),
        SETS_HOST,
        "the member of the set counted has more than 5 packets",
    ),
    (
        "-m set --match-set counted dst ! --bytes-eq 5 --packets-lt 9",
        packet(),
        SETS_HOST,
        "the member of the set counted has other than 5 bytes and fewer than 9 packets",
    ),
    ("-m set --match-set counted src --packets-gt 5", packet(), SETS_HOST, False),
    ("-m set --match-set web dst --packets-gt 5", packet(), SETS_HOST, True),  # a set that counts nothing
    # Not known.
    (
        "-m set --match-set weave-;rGqyMIl1HN^cfDki~Z$3]6!N dst",
        packet(),
        SETS_HOST,
        "the packet's dst is in the set weave-;rGqyMIl1HN^cfDki~Z$3]6!N",
    ),
    ("-m set ! --match-set gone src,dst", packet(), SETS_HOST, "not the packet's src,dst is in the set gone"),
    ("-m set --match-set web dst", packet(), Host(), "the packet's dst is in the set web"),
    (
        "-m set --match-set pairs dst,dst",
        packet(dport=None),
        SETS_HOST,
        "the packet's dst,dst is in the set pairs",
    ),
    # A rule has just changed it.
    (
        "-m set --match-set web dst",
        packet(sets_changed=frozenset({"web"})),
        SETS_HOST,
        "the packet's dst is in the set web",
    ),
    (
        "-m set --match-set list dst",
        packet(sets_changed=frozenset({"web"})),
        SETS_HOST,
        "the packet's dst is in the set list",
    ),
    ("-m set --match-set list dst", packet(sets_changed=frozenset({"nets"})), SETS_HOST, True),
]
REFUSED = [
    ("-m set", "expected --match-set", "-m"),
    ("-m set --match-set", "expected a value after --match-set", "--match-set"),
    ("-m set --match-set web", "expected a value after --match-set", "--match-set"),
    ("-m set --match-set web up", "expected a list of src and dst after --match-set web", "up"),
    (
        "-m set --match-set web src,src,src,src,src,src,src",
        "expected a list of src and dst after --match-set web",
        "src,src,src,src,src,src,src",
    ),
    ("-m set --match-set web dst --packets-gt few", "expected a count after --packets-gt", "few"),
]


@pytest.mark.parametrize(("words", "of", "host", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, host: Host, expected: Answer) -> None:
    assert answer(words, of, host) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
