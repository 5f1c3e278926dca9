from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from kinspect.model.packet import Packet
from kinspect.model.rules import Remembers
from tests.netfilter.tables import Answer, answer, packet, read, refused

ONE = (1 << 128) - 1
A = ("A", int(IPv4Address("10.1.0.2")), ONE, None)
OTHER = ("A", int(IPv4Address("10.2.0.2")), ONE, None)
NETWORK = ("A", int(IPv4Address("10.1.0.99")), int(IPv4Address("255.255.255.0")), None)
B = ("B", A[1], ONE, None)

ANSWERS = [
    ("-m recent --rcheck --name A", packet(), False),
    ("-m recent ! --rcheck --name A", packet(), True),
    ("-m recent --set --name A --mask 255.255.255.255 --rsource", packet(), True),
    ("-m recent ! --set", packet(), False),
    ("-m recent --rcheck --seconds 10800 --reap --name A", packet(recent=frozenset({"A"})), True),
    ("-m recent --rcheck --name B", packet(recent=frozenset({"A"})), False),
    ("-m recent --rcheck", packet(recent=frozenset({"DEFAULT"})), True),
    (
        "-m recent --update --hitcount 3 --name A",
        packet(recent=frozenset({"A"})),
        "the client has 3 hits on the list A",
    ),
    (
        "-m recent ! --update --hitcount 3 --name A",
        packet(recent=frozenset({"A"})),
        "not the client has 3 hits on the list A",
    ),
    # Put there by this walk, once or twice.
    ("-m recent --rcheck --name A", packet(recent_now=(A,)), True),
    ("-m recent --rcheck --hitcount 2 --rttl --name A", packet(recent_now=(A,)), False),
    ("-m recent --rcheck --hitcount 2 --name A", packet(recent_now=(A, A)), True),
    ("-m recent --rcheck --hitcount 2 --name A", packet(recent=frozenset({"A"}), recent_now=(A,)), True),
    ("-m recent --rcheck --name A", packet(recent_now=(OTHER,)), False),
    ("-m recent --rcheck --name A --mask 255.255.255.0", packet(recent_now=(A,)), True),
    (
        "-m recent --rcheck --name A",
        packet(recent_now=(NETWORK,)),
        "the mask of the list A of -m recent, of which its rules have several, fits",
    ),
    ("-m recent --rcheck --name A --mask 255.255.255.0", packet(recent_now=(NETWORK,)), True),
    ("-m recent --rcheck --name A --rttl", packet(ttl=63, recent_now=((*A[:3], 64),)), False),
    ("-m recent --rcheck --name A", packet(ttl=63, recent_now=((*A[:3], 64),)), True),
    # Destinations: what is put there from one side is asked for from the other, by address.
    ("-m recent --rcheck --name A --rdest", packet(recent_now=(OTHER,)), True),
    (
        "-m recent --rcheck --name A --rdest",
        packet(recent_now=(A,)),
        "the list A of -m recent has 10.2.0.2, the destination, already",
    ),
    (
        "-m recent --rcheck --hitcount 2 --name A",
        packet(src="10.9.9.9", original=packet()),
        "the list A of -m recent has 2 hits of 10.9.9.9, the source, already",
    ),
    ("-m recent --remove --name A --rsource", packet(recent_now=(A,)), True),
    ("-m recent --remove --name A", packet(), False),
]
REFUSED = [
    ("-m recent", "expected --set, --rcheck, --update or --remove", "-m"),
    ("-m recent --rcheck --name", "expected a value after --name", "--name"),
    ("-m recent --rcheck --hitcount few", "expected a count after --hitcount", "few"),
    ("-m recent --rcheck --seconds few", "expected a number of seconds after --seconds", "few"),
    ("-m recent --rcheck --mask 33", "expected a mask, as 255.255.255.0, after --mask", "33"),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)


@pytest.mark.parametrize(
    ("words", "held", "before", "after"),
    [
        ("--set --name A", True, {}, {"recent_now": (A,)}),
        ("! --set --name A", False, {}, {"recent_now": (A,)}),
        ("--set --name A --rdest", True, {}, {"recent_now": (OTHER,)}),
        ("--set --name A --mask 255.255.255.0", True, {}, {"recent_now": (("A", A[1], NETWORK[2], None),)}),
        ("--update --name A", True, {"recent_now": (A,)}, {"recent_now": (A, A)}),
        ("--update --name A", False, {}, {}),
        ("! --update --name A", True, {}, {}),
        ("--rcheck --name A", True, {"recent_now": (A,)}, {"recent_now": (A,)}),
        ("--remove --name A", True, {"recent_now": (A, B), "recent": frozenset({"A"})}, {"recent_now": (B,)}),
        ("! --remove --name A", False, {"recent_now": (A,)}, {"recent_now": ()}),
    ],
)
def test_what_a_list_remembers(words: str, held: bool, before: dict[str, Any], after: dict[str, Any]) -> None:
    match = read(f"-m recent {words}")
    assert isinstance(match, Remembers)
    assert match.asked(packet(**before), held) == packet(**after)
