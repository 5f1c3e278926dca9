"""A dump with some chains replaced: the text that a tool would print then, and its index.

The new text is read as any dump is, except for what is known already: where the chains that did
not change stand now. To index a dump of a large cluster again would cost as much as reading it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

from kinspect.parse.rules.canonical_form import BUILTIN
from kinspect.parse.rules.dump import Dump, _Run, _Table

Chains: TypeAlias = Mapping[str, "Sequence[str] | None"]
"""Rules by chain, without counters; None: the chain is no longer there."""


@dataclass(frozen=True, slots=True)
class _Edit:
    """Text from ``start`` to ``end`` becomes ``text``: rules of a chain, or its declaration."""

    start: int
    end: int
    chain: str
    text: str
    table: str
    rules: bool


def with_chains(dump: Dump, changed: Mapping[str, Chains]) -> Dump:
    """The dump with chains replaced, by table. A table that it lacks stays away."""
    tables = dump.parts()
    edits = [edit for table in tables if table.name in changed for edit in _edits(table, changed[table.name])]
    if not edits:
        return dump
    # What is put at one place stands in the order of names, as iptables-save prints chains.
    edits.sort(key=lambda edit: (edit.start, edit.end, edit.chain))
    old = tables[0].text
    shift = _Shift(edits, old)
    text = shift.text()
    damaged = list(dump.damaged)
    moved = [_moved(table, text, shift, changed.get(table.name, ())) for table in tables]
    for table in moved:
        table.damaged = damaged
    return dump.of(moved, damaged)


class _Shift:
    """Where things stand in the new text. Edits are in the order of the text, and do not overlap."""

    def __init__(self, edits: Sequence[_Edit], old: str) -> None:
        self.edits = edits
        self._old = old
        self._ends = [edit.end for edit in edits]
        self._starts = [edit.start for edit in edits]
        grown = [len(edit.text) - (edit.end - edit.start) for edit in edits]
        lines = [edit.text.count("\n") - old.count("\n", edit.start, edit.end) for edit in edits]
        self._grown = [0, *accumulate(grown)]
        self._lines = [0, *accumulate(lines)]

    def text(self) -> str:
        """The new text."""
        pieces, at = [], 0
        for edit in self.edits:
            pieces += [self._old[at : edit.start], edit.text]
            at = edit.end
        return "".join([*pieces, self._old[at:]])

    def beginning(self, offset: int) -> int:
        """The new offset of what begins at an old one: what is put there comes before it."""
        return offset + self._grown[bisect_right(self._ends, offset)]

    def ending(self, offset: int) -> int:
        """The new offset of what ends at an old one: what is put there comes behind it."""
        return offset + self._grown[bisect_left(self._starts, offset)]

    def lines(self, offset: int) -> int:
        """How many lines more stand before what began at an old offset."""
        return self._lines[bisect_right(self._ends, offset)]

    def moved(self, run: _Run) -> _Run:
        """Where a run of rules stands that no edit is inside of."""
        start, end, line = run
        passed = bisect_right(self._ends, start)
        grown = self._grown[passed]
        return start + grown, end + grown, line + self._lines[passed]

    def put(self, table: str) -> dict[str, list[_Run]]:
        """The runs of rules that the edits put into a table."""
        found: dict[str, list[_Run]] = {}
        line = at = 0
        for number, edit in enumerate(self.edits):
            line += self._old.count("\n", at, edit.start)
            at = edit.start
            if edit.rules and edit.text and edit.table == table:
                start = edit.start + self._grown[number]
                run = (start, start + len(edit.text), line + self._lines[number])
                found[edit.chain] = [run]
        return found


def _edits(table: _Table, chains: Chains) -> list[_Edit]:
    text = table.text
    counted = "[0:0] " if text.find("\n[", table.start, table.end) >= 0 else ""
    edits = []
    for name, rules in chains.items():
        own = _declaration(table, name)
        place = _place(table, name)
        if rules is None and own is not None:
            edits.append(_Edit(*own, name, "", table.name, False))
        elif rules is not None and own is None:
            edits.append(_Edit(place, place, name, f":{name} - [0:0]\n", table.name, False))
        new = "".join(f"{counted}{rule}\n" for rule in rules or ())
        runs = table.runs.get(name, ())
        for number, (start, end, _) in enumerate(runs):
            edits.append(_Edit(start, end, name, "" if number else new, table.name, True))
        if not runs and new:
            at = _first_rule_from(table, place)
            edits.append(_Edit(at, at, name, new, table.name, True))
    return edits


def _place(table: _Table, name: str) -> int:
    """Where a chain's declaration belongs: a table's head has those of user-defined chains in order.

    Found by halving the head, of which a large table has megabytes. If it is in another order, the
    place is another one, and the text means the same.
    """
    text, low, high = table.text, table.start + 1, _head_end(table)
    while low < high:
        middle = max(text.rfind("\n", 0, (low + high) // 2) + 1, low)
        other = text[middle + 1 : text.find(" ", middle)]
        if not text.startswith(":", middle) or other in BUILTIN or other <= name:
            low = text.find("\n", middle) + 1
        else:
            high = middle
    return low


def _head_end(table: _Table) -> int:
    """The end of the declarations: the beginning of a table's first rule, or the table's end."""
    found = [table.text.find(words, table.start, table.end) for words in ("\n-A ", "\n[")]
    return min([at + 1 for at in found if at >= 0], default=table.end)


def _first_rule_from(table: _Table, place: int) -> int:
    """The first rule of the chains that are declared from a place on; without any, the table's end."""
    end = _head_end(table)
    while place < end:
        name = table.text[place + 1 : table.text.find(" ", place)]
        if table.text.startswith(":", place) and name in table.runs:
            return table.runs[name][0][0]
        place = table.text.find("\n", place) + 1
    return table.end


def _declaration(table: _Table, name: str) -> tuple[int, int] | None:
    """Where the line is that declares a chain."""
    at = table.text.find(f"\n:{name} ", table.start, table.end)
    return None if at < 0 else (at + 1, table.text.index("\n", at + 1) + 1)


def _moved(table: _Table, text: str, shift: _Shift, changed: Iterable[str]) -> _Table:
    """A table in the new text, with the index of the old one."""
    start, end = shift.ending(table.start), shift.beginning(table.end)
    line = table.line + shift.lines(table.start)
    moved = _Table(table.name, text, start, end, line, table.source, table.family, [])
    if "runs" in table.__dict__:
        moved.__dict__["runs"] = _MovedRuns(table.runs, shift, set(changed), shift.put(table.name))
    return moved


class _MovedRuns(Mapping[str, "list[_Run]"]):
    """The runs of an edited table: those that stayed are moved when they are asked for."""

    def __init__(
        self, old: Mapping[str, list[_Run]], shift: _Shift, changed: set[str], put: dict[str, list[_Run]]
    ) -> None:
        self._old, self._shift, self._changed, self._put = old, shift, changed, put

    def __getitem__(self, name: str) -> list[_Run]:
        if name in self._changed:
            return self._put[name]
        return [self._shift.moved(run) for run in self._old[name]]

    def __contains__(self, name: object) -> bool:
        return name in self._put if name in self._changed else name in self._old

    def __iter__(self) -> Iterator[str]:
        yield from (name for name in self._old if name not in self._changed)
        yield from self._put

    def __len__(self) -> int:
        return sum(1 for _ in self)
