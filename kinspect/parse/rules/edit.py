"""A dump with some chains replaced: the text that a tool would print then, and its index.

The new text is read as any dump is, except for what is known already: where the chains that did
not change stand now. To index a dump of a large cluster again would cost as much as reading it.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, TypeAlias

from kinspect.parse.rules.canonical_form import BUILTIN
from kinspect.parse.rules.dump import Dump, _Run, _Table

Chains: TypeAlias = Mapping[str, "Sequence[str] | None"]
"""Rules by chain, without counters; None: the chain is no longer there."""

_DECLARED: Final = re.compile(r"^:([^ \n]+) [^\n]*\n", re.M)


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
    declared = {found[1]: found.span() for found in _DECLARED.finditer(text, table.start, table.end)}
    names = sorted(name for name in declared if name not in BUILTIN)
    standing = sorted((name, runs[0][0]) for name, runs in table.runs.items() if name not in BUILTIN)
    behind = max((end for _, end in declared.values()), default=table.start + 1)
    edits = []
    for name, rules in chains.items():
        if rules is None and name in declared:
            edits.append(_Edit(*declared[name], name, "", table.name, False))
        elif rules is not None and name not in declared:
            later = bisect_right(names, name)
            at = declared[names[later]][0] if later < len(names) else behind
            edits.append(_Edit(at, at, name, f":{name} - [0:0]\n", table.name, False))
        new = "".join(f"{counted}{rule}\n" for rule in rules or ())
        runs = table.runs.get(name, ())
        for number, (start, end, _) in enumerate(runs):
            edits.append(_Edit(start, end, name, "" if number else new, table.name, True))
        if not runs and new:
            later = bisect_right(standing, (name, 0))
            at = standing[later][1] if later < len(standing) else table.end
            edits.append(_Edit(at, at, name, new, table.name, True))
    return edits


def _moved(table: _Table, text: str, shift: _Shift, changed: Iterable[str]) -> _Table:
    """A table in the new text, with the index of the old one."""
    start, end = shift.ending(table.start), shift.beginning(table.end)
    line = table.line + shift.lines(table.start)
    moved = _Table(table.name, text, start, end, line, table.source, table.family, [])
    if "runs" in table.__dict__:
        gone = set(changed)
        kept = {
            name: [(shift.beginning(a), shift.ending(b), n + shift.lines(a)) for a, b, n in runs]
            for name, runs in table.runs.items()
            if name not in gone
        }
        moved.__dict__["runs"] = kept | shift.put(table.name)
    return moved
