"""What the table tests of extensions share: packets, and answers short enough for a row.

An answer is True or False where it is certain, a share where it is a draw, and the question where
it is open (``not …`` where the match holds if the question is answered with no).
"""

from __future__ import annotations

from fractions import Fraction
from ipaddress import IPv4Address, ip_address
from typing import Any, TypeAlias

import pytest

from kinspect.errors import RulesError
from kinspect.model.host import Host
from kinspect.model.odds import Chance, Odds, Undecided
from kinspect.model.packet import Family, Packet
from kinspect.model.rules import Bind, Effect, End, Match, OneOf, Proceed, Rule
from kinspect.parse.rules.rule import parse_rule

Answer: TypeAlias = "bool | Fraction | str"

NOWHERE = Host()


def packet(**changes: Any) -> Packet:
    """A UDP packet that came in by eth0 and that conntrack has seen; addresses may be text."""
    fields: dict[str, Any] = {
        "src": "10.1.0.2", "dst": "10.2.0.2", "protocol": 17, "sport": 40000, "dport": 53, "iif": "eth0",
        "tracked": True, **changes,
    }  # fmt: skip
    for name in ("src", "dst"):
        if isinstance(fields[name], str):
            fields[name] = ip_address(fields[name])
    return Packet(**fields)


def packet6(**changes: Any) -> Packet:
    """The same of IPv6."""
    return packet(**{"src": "fd01::2", "dst": "fd02::2", **changes})


def rule(words: str, family: Family = 4) -> Rule:
    """The rule of some words."""
    return parse_rule(f"-A FORWARD {words}", source="node/iptables-save.txt", line=7, number=1, family=family)


def read(words: str, family: Family = 4) -> Match:
    """The last match of a rule."""
    return rule(words, family).clauses[-1].match


def answer(words: str, of: Packet | None = None, host: Host = NOWHERE) -> Answer:
    """What the last match of a rule answers for a packet."""
    of = of or packet()
    return plain(read(words, of.family).odds(of, host))


def plain(odds: Odds) -> Answer:
    """Odds as a row has them."""
    match odds:
        case Chance(share):
            return bool(share) if share in (0, 1) else share
        case Undecided(question, held):
            return question.text if held else f"not {question.text}"


def act(words: str, of: Packet | None = None, host: Host = NOWHERE) -> Effect:
    """The effect of a rule's target on a packet."""
    of = of or packet()
    target = rule(words, of.family).target
    assert target is not None
    return target.act(of, host)


def goes_on(words: str, of: Packet | None = None, host: Host = NOWHERE) -> Packet:
    """The packet behind a target that does not end the walk."""
    effect = act(words, of, host)
    assert isinstance(effect, Proceed)
    return effect.packet


def bound(words: str, of: Packet | None = None, host: Host = NOWHERE) -> str:
    """Source and destination behind a binding: ``10.1.0.2:40000 > 10.2.0.2:53``."""
    effect = act(words, of, host)
    assert isinstance(effect, Bind)
    ends = []
    for address, port in (
        (effect.packet.src, effect.packet.sport),
        (effect.packet.dst, effect.packet.dport),
    ):
        shown = str(address) if isinstance(address, IPv4Address) else f"[{address}]"
        ends.append(f"{shown}:{'?' if port is None else port}")
    return " > ".join(ends)


def ends(effect: Effect) -> list[tuple[Answer, str]]:
    """The verdicts of an effect, each with what it depends on."""
    match effect:
        case End(verdict, _):
            return [(True, verdict.value)]
        case OneOf(effects):
            return [(plain(odds), verdict) for odds, inner in effects for _, verdict in ends(inner)]
        case _:
            return [(True, type(effect).__name__)]


def refused(words: str, family: Family = 4) -> tuple[str, str]:
    """The message with which a rule is refused, and the words under the caret."""
    with pytest.raises(RulesError) as caught:
        rule(words, family)
    error = caught.value
    assert error.line == 7
    assert error.text is not None
    assert error.column is not None
    message = error.message.removeprefix("node/iptables-save.txt:7: ")
    return message, error.text[error.column : error.column + error.width]
