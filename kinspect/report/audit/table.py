"""An audit for people: the worst first, each kind once with what it means and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kinspect.model.audit import AuditAnswer, FindingKind, Observation, Severity
from kinspect.report.audit.words import doubts, observation_text, subject_text, summary_text
from kinspect.report.check.words import names_text, place_text
from kinspect.report.screen import View, screen
from kinspect.sanitise import safe

_SHOWN = 5  # findings of a kind that are shown by default
_NODES = 6  # names of nodes in a line
_RULES = 2  # rules of a finding

_STYLES = {Severity.ERROR: "bold red", Severity.WARNING: "bold yellow", Severity.INFO: "bold cyan"}


def table(answer: AuditAnswer, view: View) -> str:
    """The findings; of each kind the first few."""
    return screen(view, lambda console: _print(console, answer, wide=False))


def wide(answer: AuditAnswer, view: View) -> str:
    """All findings, all nodes and all rules."""
    return screen(view, lambda console: _print(console, answer, wide=True))


def _print(console: Console, answer: AuditAnswer, *, wide: bool) -> None:
    worst = answer.observations[0].severity if answer.observations else None
    console.print(Text(summary_text(answer), style=_STYLES[worst] if worst else "bold green"))
    for (severity, _), group in groupby(answer.observations, lambda each: (each.severity, each.kind.code)):
        found = list(group)
        _print_kind(console, severity, found[0].kind, found, wide=wide)


def _print_kind(
    console: Console, severity: Severity, kind: FindingKind, found: Sequence[Observation], *, wide: bool
) -> None:
    console.print()
    head = Text.assemble((f"{severity.value} {kind.code}", _STYLES[severity]), f"  {kind.title}")
    if len(found) > 1:
        head.append(f" · {len(found):,}", style="dim")
    console.print(head)
    shown = found if wide else found[:_SHOWN]
    for each in shown:
        _print_one(console, each, wide=wide)
    if len(shown) < len(found):
        rest = f"and {len(found) - len(shown):,} more: -o wide shows all, -o json for machines"
        console.print(Padding(Text(rest, style="dim"), (0, 0, 0, 2)))
    advice = Table.grid(padding=(0, 1, 0, 0))
    advice.add_row(Text("  →", style="dim"), Text(f"{kind.todo} (kinspect explain {kind.code})"))
    console.print(advice)


def _print_one(console: Console, found: Observation, *, wide: bool) -> None:
    nodes = names_text(found.nodes, None if wide else _NODES)
    where = f" · {nodes}" if found.service else ""
    line = Table.grid(padding=(0, 0, 0, 0))
    said = Text.assemble((subject_text(found), "bold"), f"{where}: {observation_text(found)}")
    line.add_row(Text("  "), said)
    console.print(line)
    if found.ways:
        console.print(Padding(Text(f"by {safe(', '.join(found.ways))}", style="dim"), (0, 0, 0, 4)))
    for rule in found.evidence if wide else found.evidence[:_RULES]:
        console.print(Padding(Text(place_text(rule), style="cyan"), (0, 0, 0, 4)))
        console.print(Padding(Text(safe(rule.text), style="dim"), (0, 0, 0, 6)))
    for doubt in doubts(found):
        console.print(Padding(Text(doubt, style="yellow"), (0, 0, 0, 4)))
