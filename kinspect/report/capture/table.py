"""A capture for people: one line, and with wide a row for each node."""

from __future__ import annotations

from rich.table import Table

from kinspect.report.capture.words import node_lines, summary
from kinspect.report.screen import View, screen
from kinspect.snapshot.manifest import Written


def table(written: Written, view: View) -> str:
    """The file, and how much of the request it holds."""
    return summary(written)


def wide(written: Written, view: View) -> str:
    """The same, and the result for each node."""
    rows = Table(box=None, pad_edge=False, show_edge=False)
    for title in ("NODE", "BY", "FROM", "TIME", "CAME OF IT"):
        rows.add_column(title, overflow="fold")
    for row in node_lines(written.manifest):
        rows.add_row(*row)
    return f"{summary(written)}\n{screen(view, lambda console: console.print(rows))}"
