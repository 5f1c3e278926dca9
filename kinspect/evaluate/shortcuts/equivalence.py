"""What a rule looks at in a packet: the networks and ports that it tells apart.

Two packets that part in their addresses and ports only, and that no rule tells apart, go the same
way: so one of them is walked, and stands for the other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from kinspect.model.rules import ChainName, Rule, Ruleset, TableName
from kinspect.netfilter.matches.addrtype import AddressType
from kinspect.netfilter.matches.connmark import ConnectionMark
from kinspect.netfilter.matches.conntrack import Conntrack, State, Status
from kinspect.netfilter.matches.ip import Anything, DestinationAddress, Interface, Protocol, SourceAddress
from kinspect.netfilter.matches.mark import Mark
from kinspect.netfilter.matches.multiport import Multiport
from kinspect.netfilter.matches.ports import Ports
from kinspect.netfilter.matches.statistic import Random
from kinspect.netfilter.targets.connmark import RestoreMark, SaveMark, SetConnectionMark
from kinspect.netfilter.targets.mark import SetMark
from kinspect.netfilter.targets.nat import Dnat, Masquerade, Snat
from kinspect.netfilter.targets.nothing import Nothing
from kinspect.netfilter.targets.reject import Reject
from kinspect.netfilter.targets.verdict import Accept, Drop, Jump, Return

Span = tuple[int, int]
"""The first and the last of a stretch of addresses, or of ports."""

# These look at a packet's addresses and ports not at all.
_BLIND: Final = (Anything, Protocol, Interface, Mark, ConnectionMark, Random, State, Nothing, Reject)
_PLAIN: Final = (Accept, Drop, Return, Jump, SetMark, SetConnectionMark, SaveMark, RestoreMark)


class Looks(msgspec.Struct):
    """What one rule asks of a packet's addresses and ports, and of the host."""

    sources: list[Span]
    destinations: list[Span]
    ports: list[Span]  # of the destination
    of_host: bool = False  # what the rule does hangs on the host's own addresses, too


def looks(rule: Rule) -> Looks | None:
    """What a rule tells apart; None: more than that, or it cannot be said."""
    found = Looks([], [], [])
    for clause in rule.clauses:
        match clause.match:
            case SourceAddress(network):
                span = _span(network.value, network.mask, network.version)
                if span is None:
                    return None
                found.sources.append(span)
            case DestinationAddress(network):
                span = _span(network.value, network.mask, network.version)
                if span is None:
                    return None
                found.destinations.append(span)
            case Ports(dport=dport, unread=unread):
                if unread is not None:
                    return None
                found.ports += [dport] if dport else []
            case Multiport(side, ranges):
                found.ports += ranges if side != "source" else ()
            case AddressType():
                found.of_host = True  # told by routes
            case Conntrack(_, parts):
                if not all(isinstance(part, Status) for part in parts):
                    return None
            case other if isinstance(other, _BLIND):
                pass
            case _:
                return None
    match rule.target:
        case Dnat(to):
            if to.low != to.high:
                return None  # of several a hash decides
            if to.low is not None:  # what goes there already is not changed
                found.destinations.append((int(to.low), int(to.low)))
        case Snat(to):
            if to.low != to.high:
                return None
            found.of_host = True
        case Masquerade():
            found.of_host = True
        case None:
            pass
        case target if isinstance(target, (*_PLAIN, *_BLIND)):
            pass
        case _:
            return None
    return found


def reached(rules: Ruleset, table: TableName, chains: Sequence[ChainName]) -> Iterator[Rule]:
    """The rules of some chains of a table, and of all chains that they lead to."""
    waiting, seen = list(chains), set(chains)
    while waiting:
        chain = rules.chain(table, waiting.pop())
        for rule in chain.rules() if chain else ():
            yield rule
            if isinstance(rule.target, Jump) and rule.target.chain not in seen:
                seen.add(rule.target.chain)
                waiting.append(rule.target.chain)


class Partition:
    """Numbers told apart by the spans that they are in: those in the same ones are of one kind."""

    def __init__(self, spans: Iterable[Span]) -> None:
        opened: dict[int, list[Span]] = {}
        closed: dict[int, list[Span]] = {}
        for span in set(spans):
            opened.setdefault(span[0], []).append(span)
            closed.setdefault(span[1] + 1, []).append(span)
        self._edges = sorted({*opened, *closed})
        self._kinds = [0]
        known: dict[frozenset[Span], int] = {frozenset(): 0}
        within: set[Span] = set()
        for edge in self._edges:
            within.difference_update(closed.get(edge, ()))
            within.update(opened.get(edge, ()))
            self._kinds.append(known.setdefault(frozenset(within), len(known)))

    def of(self, number: int) -> int:
        """The kind of a number."""
        return self._kinds[bisect_right(self._edges, number)]


def _span(value: int, mask: int, version: int) -> Span | None:
    """The stretch of a network; None where its mask is not that of one, its ones first."""
    everything = (1 << (32 if version == 4 else 128)) - 1
    rest = ~mask & everything
    return None if rest & (rest + 1) else (value, value | rest)
