from __future__ import annotations

import pytest

from kinspect.model.packet import Owner, Packet
from tests.netfilter.tables import Answer, answer, packet, refused

SENT = packet(local=True, iif=None, owner=Owner(uid=1337, gid=7))
MADE = packet(local=True, iif=None)

ANSWERS = [
    ("-m owner --uid-owner 1337", SENT, True),
    ("-m owner --uid-owner 1000-2000 --gid-owner 7", SENT, True),
    ("-m owner --uid-owner 0", SENT, False),
    ("-m owner --uid-owner root", packet(local=True, iif=None, owner=Owner(uid=0)), True),
    ("-m owner ! --uid-owner 0", SENT, True),
    ("-m owner ! --gid-owner 7", SENT, False),
    ("-m owner --socket-exists", SENT, True),
    ("-m owner ! --socket-exists", SENT, False),
    ("-m owner --uid-owner 5", MADE, "the packet is sent by user 5"),
    ("-m owner ! --gid-owner 5-9", MADE, "not the packet is sent by group 5-9"),
    ("-m owner --uid-owner istio", SENT, "the packet is sent by user istio"),
    ("-m owner --gid-owner 7 --suppl-groups", SENT, "the packet is sent by group 7"),
    (
        "-m owner --uid-owner 5 ! --gid-owner 6",
        MADE,
        "the packet is sent by user 5 and not: the packet is sent by group 6",
    ),
    # A forwarded packet has no socket: only what is inverted throughout holds.
    ("-m owner --uid-owner 0", packet(), False),
    ("-m owner ! --uid-owner 0", packet(), True),
    ("-m owner ! --uid-owner 0 --socket-exists", packet(), False),
    ("-m owner ! --uid-owner 0 ! --socket-exists", packet(), True),
    ("-m owner ! --gid-owner 0 --suppl-groups", packet(), False),
]
REFUSED = [
    ("-m owner", "expected --uid-owner, --gid-owner or --socket-exists", "-m"),
    ("-m owner --uid-owner", "expected a value after --uid-owner", "--uid-owner"),
    ("-m owner --uid-owner 9-1", "expected a user or a range of numbers after --uid-owner", "9-1"),
    ("-m owner --gid-owner 1x", "expected a group or a range of numbers after --gid-owner", "1x"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
