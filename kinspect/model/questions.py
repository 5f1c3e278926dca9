"""What no dump answers, as data: a question, its kind, and the input that would answer it.

A question is a sentence that a person can answer, such as ``the packet comes in by interface eth0``. What
the program does with it depends on its kind, never on its words. Two questions with the same words
are the same question: on one path it has one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

QuestionKind = Literal[
    "address-type",
    "back-end-difference",
    "back-end-order",
    "bridge-port",
    "changed",
    "clock",
    "connection",
    "conversation",
    "cpu",
    "group-member",
    "interface",
    "mark",
    "missing-rules",
    "next-hop",
    "own-address",
    "packet-field",
    "payload",
    "program",
    "rate-limit",
    "recent-list",
    "reverse-path",
    "route",
    "sender",
    "several",
    "set-member",
    "socket",
    "switch",
    "unsupported-match",
    "unsupported-target",
]

KINDS: Final[Mapping[QuestionKind, str]] = {
    "address-type": "What kind of address it is to the host (broadcast, anycast, unreachable).",
    "back-end-difference": "iptables-legacy and iptables-nft make different rules of the same text.",
    "back-end-order": "Which back end's nat rules the kernel asks first.",
    "bridge-port": "By which port of a bridge the packet comes in or leaves.",
    "changed": "Whether rules or the API's lists are newer: endpoints changed while they were read.",
    "clock": "The time of day or the date.",
    "connection": "What connection tracking holds of the connection: status, direction, label, expiry.",
    "conversation": "How the other side answers, as in a handshake.",
    "cpu": "Which processor, or which node of a cluster, handles the packet.",
    "group-member": "Whether the host is a member of a multicast group.",
    "interface": "By which interface the packet comes in or leaves.",
    "mark": "The mark of the packet or of its connection.",
    "missing-rules": "What rules do that the text given does not hold.",
    "next-hop": "Which of several next hops of a route the packet takes: a hash with a secret seed decides.",
    "own-address": "Whether an address is one of the host's own.",
    "packet-field": "A field of the packet that was not stated.",
    "payload": "What the packet carries.",
    "program": "Whether a program on the host takes the packet.",
    "rate-limit": "What went before: rates, amounts and numbers of connections.",
    "recent-list": "What a list of recent addresses holds.",
    "reverse-path": "By which interface a reply would leave.",
    "route": "Which route the packet takes: whether a policy rule applies, of which realm a route is.",
    "sender": "Which process sent the packet.",
    "set-member": "What an ipset holds.",
    "several": "Several of these together.",
    "socket": "Whether a socket on the host takes the packet.",
    "switch": "What a switch of the kernel (sysctl) is set to.",
    "unsupported-match": "A match that kinspect does not model.",
    "unsupported-target": "A target that kinspect does not model.",
}
"""What each kind asks, for people. The names are public codes: they never change."""

InputKind = Literal[
    "local-address", "incoming-interface", "packet", "sets", "routes", "links", "rules", "connections"
]


class Input(msgspec.Struct, frozen=True):
    """What the caller can give to answer a question; ``value`` is the part of it that is known."""

    kind: InputKind
    value: str = ""


class Question(msgspec.Struct, frozen=True, cache_hash=True):
    """Something that the answer depends on and that was not read."""

    kind: QuestionKind
    text: str
    answered_by: tuple[Input, ...] = ()  # any one of these answers it; none: nothing that can be given
    about: str = ""  # what it is about, if its kind does not say: a table

    def __str__(self) -> str:
        return self.text


def together(questions: tuple[tuple[Question, bool], ...]) -> Question:
    """One question that stands for several, each answered yes (True) or no."""
    words = [question.text if answer else f"not: {question.text}" for question, answer in questions]
    kinds = {question.kind for question, _ in questions}
    inputs = dict.fromkeys(each for question, _ in questions for each in question.answered_by)
    return Question(kinds.pop() if len(kinds) == 1 else "several", " and ".join(words), tuple(inputs))
