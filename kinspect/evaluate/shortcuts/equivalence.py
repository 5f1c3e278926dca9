"""Which packets no rule distinguishes: the sum of what the rules' matches and targets distinguish.

Two packets that differ only in addresses and ports, and that no rule distinguishes, go the same way:
so one of them is walked and represents the other. Each extension says what it distinguishes
(``Distinguishes``); one that does not say may depend on anything, so nothing is shared if a packet can
meet it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

from kinspect.model.rules import ChainName, Distinctions, Rule, Ruleset, Span, TableName
from kinspect.netfilter.targets.verdict import Jump


def told_apart(rules: Iterable[Rule]) -> Distinctions | None:
    """What the rules distinguish; None: more than can be expressed."""
    sources: list[Span] | None = []
    destinations: list[Span] | None = []
    ports: list[Span] = []
    of_host = False
    for rule in rules:
        for part in (*(clause.match for clause in rule.clauses), rule.target):
            if part is None:
                continue
            # isinstance() on the protocol itself takes ten times as long.
            distinguishes = getattr(part, "distinguishes", None)
            found: Distinctions | None = distinguishes() if distinguishes is not None else None
            if found is None:
                return None
            sources = _with(sources, found.sources)
            destinations = _with(destinations, found.destinations)
            ports += found.ports
            of_host = of_host or found.of_host
    return Distinctions(
        None if sources is None else tuple(sources),
        None if destinations is None else tuple(destinations),
        tuple(ports),
        of_host,
    )


def _with(spans: list[Span] | None, more: Iterable[Span] | None) -> list[Span] | None:
    if spans is None or more is None:
        return None
    spans += more
    return spans


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
    """Partitions numbers into classes that no span separates."""

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
        """The class of a number."""
        return self._kinds[bisect_right(self._edges, number)]
