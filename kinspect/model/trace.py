"""What became of a packet: its ways through the rules, as data that every view is made from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from kinspect.model.odds import Weight
from kinspect.model.packet import Packet
from kinspect.model.rules import ChainName, IptablesBackend, Lacking, Rule, TableName, Verdict


class Place(msgspec.Struct, frozen=True):
    """Where a walk is: a hook of a table, in one back end's rules."""

    hook: str
    table: TableName
    source: str  # the dump's file, for messages
    backend: IptablesBackend | None = None


class Matched(msgspec.Struct, frozen=True):
    """A rule that took the packet; ``depth`` counts the chains above it in this hook."""

    place: Place
    rule: Rule
    depth: int
    packet: Packet  # as it came to the rule


class ChainPolicy(msgspec.Struct, frozen=True):
    """The end of a built-in chain, where its policy decided."""

    place: Place
    chain: ChainName
    verdict: Verdict


class Routed(msgspec.Struct, frozen=True):
    """The routing decision: where the packet goes from here, in words, and if it could go on."""

    where: str
    dropped: bool = False


Event = Matched | ChainPolicy | Routed


class Step(msgspec.Struct, frozen=True):
    """One event of a way, and the way up to it."""

    event: Event
    before: Step | None = None

    def events(self) -> list[Event]:
        """All events of the way, the first first."""
        found: list[Event] = []
        step: Step | None = self
        while step is not None:
            found.append(step.event)
            step = step.before
        return found[::-1]


CONNECTION: Final = "its connection"
"""What an established packet's end depends on if the connection is not known (see ``Way.missing``)."""


class Way(msgspec.Struct, frozen=True):
    """One way that a packet can go, to its end, and how much of the traffic goes it."""

    verdict: Verdict
    packet: Packet  # as it left, or as it was when it died
    weight: Weight
    last: Step | None
    snat: str | None = None  # the source that it leaves with, where that was rewritten
    delivered: bool = False  # to this host itself
    missing: str | None = None  # the rules that it goes to and that the text lacks: its end is not known

    def events(self) -> list[Event]:
        """All events, the first first."""
        return self.last.events() if self.last else []


@dataclass(frozen=True, slots=True)
class Considered:
    """A rule that was looked at, and why it did or did not match (for ``--explain``)."""

    place: Place
    rule: Rule
    depth: int
    held: bool | None  # None: it depends
    why: str


RuleKey = tuple[str, str, int]
"""Source (file), table and line of a rule: what names it in one dump."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All ways of one packet through one host; their weights sum to exactly 1."""

    packet: Packet
    ways: tuple[Way, ...]
    hits: Mapping[RuleKey, Weight] = msgspec.field(default_factory=dict)  # expected count for one packet
    met: Mapping[RuleKey, Rule] = msgspec.field(default_factory=dict)  # the rules of ``hits``
    considered: tuple[Considered, ...] = ()
    notes: tuple[str, ...] = ()
    lacking: tuple[Lacking, ...] = ()  # what the packet meets and the texts do not hold

    def __iter__(self) -> Iterator[Way]:
        return iter(self.ways)


PacketEnd: TypeAlias = tuple[str, bool, int, int | None, bool, bool]
"""Verdict, delivered to the host itself or not, destination (as a number), its port, destination
rewritten or not, source rewritten or not (False for all if sources were not asked for)."""

PacketEnds: TypeAlias = frozenset[tuple[PacketEnd, int, int]]
"""Each end with its share, as numerator and denominator: numbers, which are quick to compare."""
