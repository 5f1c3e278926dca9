"""A check's verdict for people: what holds, what does not, where it is seen, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kinspect.model.check import AssertionResult, CheckAnswer
from kinspect.report.check.advice import advice
from kinspect.report.check.groups import Group, Row, grouped
from kinspect.report.check.words import (
    VERDICTS,
    count,
    key_text,
    names_text,
    overall_text,
    place_text,
    problem_text,
    sources_text,
    verdict_text,
)  # fmt: skip
from kinspect.report.screen import View, screen
from kinspect.report.words import VIA_NAMES, port_text
from kinspect.sanitise import safe

_GROUPS = 20  # problems that are shown unasked
_NODES = 6  # names of nodes in a cell
_PLACES = 3  # places of a rule

_STYLES = {"holds": "bold green", "violated": "bold red", "undetermined": "bold yellow"}
_MARKS = {"violated": ("✗", "red"), "undetermined": ("?", "yellow"), "excused": ("·", "dim")}


def table(answer: CheckAnswer, view: View) -> str:
    """Each assertion's verdict, and below it what speaks against it."""
    return screen(view, lambda console: draw(console, answer, wide=False))


def wide(answer: CheckAnswer, view: View) -> str:
    """The same with all problems, nodes and rules."""
    return screen(view, lambda console: draw(console, answer, wide=True))


def draw(console: Console, answer: CheckAnswer, *, wide: bool) -> None:
    """Draw it on a console, as part of another answer too."""
    several = len(answer.judged) > 1
    if several:
        standing = answer.standing()
        console.print(Text.assemble((VERDICTS[standing], _STYLES[standing]), f"  {overall_text(answer)}"))
    apart = several  # a blank line around what has something to show
    for judged in answer.judged:
        if apart or (several and judged.findings):
            console.print()
        apart = bool(judged.findings)
        _print(console, answer, judged, wide=wide)


def _print(console: Console, answer: CheckAnswer, judged: AssertionResult, *, wide: bool) -> None:
    standing = answer.standing(judged)
    console.print(Text.assemble((VERDICTS[standing], _STYLES[standing]), f"  {verdict_text(answer, judged)}"))
    groups = sorted(
        grouped(judged.findings), key=lambda g: ["violated", "undetermined", "excused"].index(g.standing)
    )
    shown = groups if wide else groups[:_GROUPS]
    last: tuple[object, ...] = ()
    for (service, port, rows), alike in groupby(shown, key=lambda g: (g.service, g.port, g.rows())):
        if (service, port) != last:
            last = (service, port)
            named = f"  port {port_text(port)}" if port else ""
            console.print()
            console.print(Text(f"{key_text(service)}{named}", style="bold"))
        for group in alike:
            _print_problem(console, group, wide=wide)
        if rows:
            console.print(Padding(_ways(rows, wide=wide), (0, 0, 0, 4), expand=False))
    if len(shown) < len(groups):
        services = len({group.service for group in groups[len(shown) :]})
        rest = f"{len(groups) - len(shown):,} more of {count(services, 'service')}"
        console.print()
        console.print(Text(f"{rest}: -o wide shows all, -o json for machines.", style="dim"))
    texts = advice(judged.findings)
    if texts:
        console.print()
        bullets = Table.grid(padding=(0, 1, 0, 0))
        for text in texts:
            bullets.add_row(Text("•", style="dim"), Text(text))
        console.print(bullets)


def _print_problem(console: Console, group: Group, *, wide: bool) -> None:
    """What is wrong, the rules that do it, and what it depends on."""
    mark, style = _MARKS[group.standing]
    head = Table.grid(padding=(0, 1, 0, 0))
    head.add_row(Text(f"  {mark}", style=style), Text(problem_text(group.problem)))
    console.print(head)
    for text, places in group.rules().items():
        most = len(places) if wide else _PLACES
        where = ", ".join(place_text(place) for place in places[:most])
        more = f" and {len(places) - most} more" if len(places) > most else ""
        console.print(Padding(Text(f"{where}{more}", style="cyan"), (0, 0, 0, 4)))
        console.print(Padding(Text(safe(text), style="dim"), (0, 0, 0, 6)))
    for question in group.questions():
        console.print(Padding(Text(f"depends on: {safe(question)}", style="yellow"), (0, 0, 0, 4)))


def _ways(rows: Sequence[Row], *, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("WAY IN", "ENTERED AT", "FROM"):
        table.add_column(name, overflow="fold")
    for via, front, sources, nodes in rows:
        table.add_row(
            Text(f"{VIA_NAMES[via]} {front}"),
            Text(names_text(nodes, None if wide else _NODES)),
            Text(sources_text(sources)),
        )
    return table
