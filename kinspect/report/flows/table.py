"""Connections for people: how many go to which endpoint; with -o wide, each one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kinspect.model.flows import Flow, FlowsAnswer, FlowsRow
from kinspect.report.flows.words import (
    STALE_MEANS,
    STALE_NAMES,
    connections_text,
    counted_text,
    endpoint_text,
    headline,
    seconds_text,
    service_title,
    stale_text,
    via_text,
)
from kinspect.report.screen import View, screen
from kinspect.sanitise import safe


def table(answer: FlowsAnswer, view: View) -> str:
    """The rows of each service port, counted."""
    return screen(view, lambda console: _print(console, answer, wide=False))


def wide(answer: FlowsAnswer, view: View) -> str:
    """Each connection of each service port."""
    return screen(view, lambda console: _print(console, answer, wide=True))


def _print(console: Console, answer: FlowsAnswer, *, wide: bool) -> None:
    console.print(Text(headline(answer), style="bold"))
    for title, group in groupby(answer.rows, key=service_title):
        rows = [row for row in group if wide or row.connections]
        if not rows:
            continue
        console.print()
        console.print(Text(title, style="bold"))
        shown = _each(answer.flows, rows) if wide else _counted(rows)
        console.print(Padding(shown, (0, 0, 0, 2), expand=False))
    _print_notes(console, answer, wide=wide)


def _print_notes(console: Console, answer: FlowsAnswer, *, wide: bool) -> None:
    notes = [means for stale, means in STALE_MEANS.items() if any(f.stale == stale for f in answer.flows)]
    closing = sum(row.closing for row in answer.rows)
    if closing and not wide:
        notes.append(
            f"{connections_text(closing)} about to end (TIME_WAIT and the like): -o wide lists them."
        )
    if answer.direct:
        notes.append(
            f"{connections_text(answer.direct)} straight to an endpoint's address, without a service:"
            " --to lists those to a node or pod."
        )
    if any(row.idle is None and row.connections for row in answer.rows):
        notes.append("?: the idle time is not known: the node's timeouts (net.netfilter) were not read, or"
                     " data is unacknowledged.")  # fmt: skip
    if notes:
        console.print()
        bullets = Table.grid(padding=(0, 1, 0, 0))
        for note in notes:
            bullets.add_row(Text("•", style="dim"), Text(note))
        console.print(bullets)


def _counted(rows: Sequence[FlowsRow]) -> Table:
    table = _columns(["CONNECTIONS", "ENDPOINT", "STATE", "ENTERED AT", "IDLE", "STALE"])
    for row in rows:
        cells = [
            f"{row.connections:,}",
            endpoint_text(row),
            counted_text(row.states),
            counted_text(row.entered),
            seconds_text(row.idle),
        ]
        table.add_row(*map(Text, cells), Text(stale_text(row.stale), style="red"))
    return table


def _each(flows: Sequence[Flow], rows: Sequence[FlowsRow]) -> Table:
    first = rows[0]
    number = first.port.port if first.port is not None else None
    ends = {(row.protocol, row.to) for row in rows}
    table = _columns(["NODE", "CLIENT", "WAY IN", "ENDPOINT", "AS", "STATE", "IDLE", "STALE"])
    for flow in flows:
        port = flow.port.port if flow.port is not None else None
        if (flow.service, port) != (first.service, number) or (flow.protocol, flow.to) not in ends:
            continue
        state = " ".join(
            [f"{flow.protocol} {flow.state}" if flow.state else flow.protocol]
            + (["unreplied"] if not flow.replied else [])
            + (["offloaded"] if flow.offloaded else [])
        )
        stale = STALE_NAMES[flow.stale] if flow.stale is not None else ""
        style = "dim" if flow.closing else ""
        cells = (
            safe(flow.node),
            f"{safe(flow.src)}:{flow.sport}" if ":" not in flow.src else f"[{safe(flow.src)}]:{flow.sport}",
            via_text(flow),
            endpoint_text(flow),
            safe(flow.snat or ""),
            state,
            seconds_text(flow.idle),
        )
        table.add_row(*(Text(cell, style=style) for cell in cells), Text(stale, style="red"))
    return table


def _columns(names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold", justify="right" if name == "CONNECTIONS" else "left")
    return table
