"""Rules as the kernel holds them: tables, chains, rules, and what a match and a target are.

A ``Match`` answers with odds for a packet; a ``Target`` answers with an effect. Each extension is
one module in ``netfilter``; this module only says what they have in common.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Sequence, Set
from typing import Final, Literal, NewType, Protocol, TypeAlias, runtime_checkable

import msgspec

from kinspect.errors import RulesError
from kinspect.model.host import Host
from kinspect.model.odds import Odds
from kinspect.model.packet import Family, Packet
from kinspect.model.questions import Input, Question

ChainName = NewType("ChainName", str)
TableName = NewType("TableName", str)
IptablesBackend = Literal["legacy", "nft"]


class Verdict(enum.Enum):
    """How a packet's way through the rules ends."""

    ACCEPT = "ACCEPT"
    DROP = "DROP"
    REJECT = "REJECT"
    QUEUE = "QUEUE"


class Proceed(msgspec.Struct, frozen=True):
    """The walk goes on at the next rule, with this packet (changed or not)."""

    packet: Packet


class End(msgspec.Struct, frozen=True):
    """The walk of this table's hook is over; DROP, REJECT and QUEUE end the packet."""

    verdict: Verdict
    packet: Packet


class Bind(msgspec.Struct, frozen=True):
    """A nat binding: the connection has its new address, and the walk of the nat table is over.

    ``snat`` is the new source as text where it is an address that cannot be known ("masquerade").
    """

    packet: Packet
    snat: str | None = None


class Enter(msgspec.Struct, frozen=True):
    """Go to a chain; with ``goto`` its end is the end of the present chain too."""

    chain: ChainName
    goto: bool = False


class Back(msgspec.Struct, frozen=True):
    """Back to the calling chain, or to the policy of a built-in one."""


class OneOf(msgspec.Struct, frozen=True):
    """The first effect whose odds hold; the last has none left to hold."""

    effects: tuple[tuple[Odds, Effect], ...]


Effect: TypeAlias = Proceed | End | Bind | Enter | Back | OneOf


class Match(Protocol):
    """A condition of a rule."""

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Whether it holds for the packet on this host."""
        ...

    def seen(self, packet: Packet) -> str:
        """What it looked at in the packet, in a few words, for an explanation."""
        ...


@runtime_checkable
class Remembers(Protocol):
    """A match that leaves something behind once it was asked: an entry of -m recent, a mark, a count.

    It does so also where a later match of its rule does not hold.
    """

    def asked(self, packet: Packet, held: bool) -> Packet:
        """The packet behind the match, which held or did not."""
        ...


Span: TypeAlias = tuple[int, int]
"""The first and the last of a stretch of addresses (as numbers), or of ports."""


class Distinctions(msgspec.Struct, frozen=True):
    """What a match or a target tells apart in packets that have all else in common.

    For two packets that are in the same of all ``sources`` and ``destinations``, and whose destination
    ports are in the same of all ``ports``, it does the same, its questions included. None: it tells all
    addresses apart, or some that no span holds. ``of_host``: what it does depends on the host's addresses
    and routes, too.
    """

    sources: tuple[Span, ...] | None = ()
    destinations: tuple[Span, ...] | None = ()
    ports: tuple[Span, ...] = ()
    of_host: bool = False


NO_DISTINCTIONS: Final = Distinctions()
"""It looks at other fields than addresses and ports."""


@runtime_checkable
class Distinguishes(Protocol):
    """A match or a target that says what it tells apart; of others nothing is known."""

    def distinguishes(self) -> Distinctions | None:
        """What it tells apart; None: more than can be said."""
        ...


class Described(msgspec.Struct, frozen=True):
    """What a target does, in a few words, such as ``DNAT to 10.42.1.2:80``."""

    text: str
    role: Literal["ends", "rewrites", "other"] = "other"  # the packet's walk; its addresses


class Target(Protocol):
    """What a rule does with a packet that all its matches hold for."""

    def described(self) -> Described:
        """What it does, for people."""
        ...

    def act(self, packet: Packet, host: Host) -> Effect:
        """The effect on the packet."""
        ...


@runtime_checkable
class LeadsTo(Protocol):
    """A target that enters another chain: ``-j CHAIN`` and ``-g CHAIN``."""

    @property
    def chain(self) -> ChainName:
        """The chain."""
        ...


@runtime_checkable
class ChangesMark(Protocol):
    """A target that writes the packet's mark."""

    @property
    def marks(self) -> tuple[int, int]:
        """The bits that it may set, and those that it may clear."""
        ...


class Clause(msgspec.Struct, frozen=True):
    """A match with the words that it was read from."""

    match: Match
    text: str


class Counters(msgspec.Struct, frozen=True):
    """Packets and bytes that met a rule, or a policy, since it was loaded."""

    packets: int
    bytes: int


_COMMENT: Final = "-m comment --comment "


class Rule(msgspec.Struct, frozen=True):
    """One rule: its place, its words, its meaning.

    ``number`` counts from 1 in the chain, as ``iptables -L --line-numbers`` does; ``line`` from 1
    in the file. ``text`` is the rule as the dump has it, without counters.
    """

    chain: ChainName
    number: int
    line: int
    text: str
    clauses: tuple[Clause, ...]
    target: Target | None
    target_text: str
    counters: Counters | None = None
    remembers: bool = False  # one of its matches does (see ``Remembers``): they are asked in turn

    @property
    def comment(self) -> str | None:
        """The text of its first ``-m comment``, as ``iptables-save`` prints it, without the quotes."""
        for clause in self.clauses:
            if clause.text.startswith(_COMMENT):
                return clause.text.removeprefix(_COMMENT).strip('"')
        return None

    def printed(self) -> str:
        """The rule as iptables-save would print it, from its parts."""
        return " ".join(
            [f"-A {self.chain}", *(c.text for c in self.clauses), *filter(None, [self.target_text])]
        )


class Chain(Protocol):
    """Rules in the order the kernel tries them."""

    @property
    def name(self) -> ChainName:
        """Its name."""
        ...

    @property
    def policy(self) -> Verdict | None:
        """The verdict at its end; None: user-defined, so falling off the end returns."""
        ...

    @property
    def empty(self) -> bool:
        """Whether it has no rules."""
        ...

    def rules(self) -> Sequence[Rule]:
        """All rules."""
        ...

    def texts(self) -> Sequence[str]:
        """All rules as the dump has them, without counters; nothing of them is parsed."""
        ...

    def relevant(self, packet: Packet) -> Sequence[Rule]:
        """The rules in order, but for some that certainly do not match this packet's addresses."""
        ...

    def without(self, *words: str) -> Iterable[Rule]:
        """The rules whose text has none of these words; cheaper than reading all rules."""
        ...


class Lacking(msgspec.Struct, frozen=True):
    """Rules that a packet meets and that a text does not hold; ``what`` names them.

    ``table`` is None where whole tables are lacking.
    """

    what: str
    table: TableName | None = None

    @property
    def question(self) -> Question:
        """What decides whether the packet goes on as it is."""
        text = f"{self.what}, not in this text, would let the packet pass unchanged"
        return Question("missing-rules", text, (Input("rules"),))


UNKNOWN_SOURCE: Final = "?"
"""The new source of a packet that rules which a text lacks may have rewritten."""

Closure: TypeAlias = tuple[tuple[str, str | None, str], ...]
"""Chains with their policies (``-`` for user-defined, None for those that are not there) and rules."""


class Ruleset(Protocol):
    """One back end's tables of one family, as one dump told them."""

    @property
    def family(self) -> Family:
        """4 or 6."""
        ...

    @property
    def backend(self) -> IptablesBackend | None:
        """Which iptables wrote it, where that is known."""
        ...

    @property
    def source(self) -> str:
        """The file, for messages."""
        ...

    @property
    def complete(self) -> bool:
        """False for a fragment: a jump to a chain that it lacks is then undecided, not damage."""
        ...

    @property
    def damaged(self) -> Sequence[RulesError]:
        """What could not be read of it so far, by line."""
        ...

    def lacking(self, table: TableName, name: ChainName) -> Lacking | None:
        """The rules of a chain that a text may lack; None: all are here, or there are none."""
        ...

    def beginnings(self, table: TableName) -> Sequence[ChainName]:
        """The chains that no rule of the table leads to, built-in ones apart: where a fragment begins."""
        ...

    def missing(self, rule: Rule, name: ChainName) -> tuple[str, bool]:
        """A chain that a fragment lacks, in words, and whether no packet ever comes back from it."""
        ...

    def tables(self) -> Sequence[TableName]:
        """The tables that the dump has, in its order."""
        ...

    def chains(self, table: TableName) -> Sequence[ChainName]:
        """The chains of a table, in the dump's order."""
        ...

    def holds(self, table: TableName, name: ChainName) -> bool:
        """Whether a table has a chain; cheaper than reading the chain."""
        ...

    def lines(self, table: TableName, name: ChainName) -> Iterable[tuple[int, str]]:
        """Line and text of each rule of a chain, without parsing it; none if there is no such chain."""
        ...

    def jumps(self, table: TableName) -> Set[ChainName]:
        """The chains that rules of a table lead to, there or not; a word in a comment may be among them."""
        ...

    def chain(self, table: TableName, name: ChainName) -> Chain | None:
        """A chain, or None where the dump has no such chain."""
        ...

    def asks(self, pattern: re.Pattern[str]) -> bool:
        """Whether the pattern is found in a rule, outside of quoted words, wherever the rule stands."""
        ...

    def closure(self, table: TableName, name: ChainName, most: int) -> Closure | None:
        """A chain and all that it leads to; None: they have more than ``most`` rules."""
        ...

    def has(self, table: TableName, closure: Closure) -> bool:
        """Whether all chains of a closure of another ruleset read the same here, counters apart.

        They do the same, then, where hosts answer the same.
        """
        ...
