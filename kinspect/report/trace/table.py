"""The answer for people: what the service is, who gets what, and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kinspect.model.answer import NodeTrace, Outcome, Total, TraceAnswer
from kinspect.model.counts import EndpointCount
from kinspect.model.odds import NOTHING, ZERO
from kinspect.model.questions import Question
from kinspect.model.rules import Verdict
from kinspect.model.trace import CONNECTION
from kinspect.report.counts_table import TEST, counts_table
from kinspect.report.questions import answered_by
from kinspect.report.screen import View, screen
from kinspect.report.trace.explain import explained
from kinspect.report.trace.tree import trace_tree
from kinspect.report.words import (
    VIA_NAMES,
    bounded,
    endpoints_text,
    note_lines,
    outcome_text,
    packet_text,
    percent,
    port_text,
    remark_text,
    service_text,
    share_text,
)
from kinspect.sanitise import safe, safe_name

_SIDE_BY_SIDE = 5  # entry nodes that fit beside each other in 80 columns, two lines a cell
_ROWS = 16  # endpoints that are shown one by one by default
_TREES = 4  # trees that are shown by default

VERDICT_STYLES = {
    Verdict.ACCEPT: "",
    Verdict.DROP: "bold red",
    Verdict.REJECT: "bold red",
    Verdict.QUEUE: "bold magenta",
}


def table(answer: TraceAnswer, view: View) -> str:
    """One line of what the service is, the matrix, totals, why, and the trees."""
    return screen(view, lambda console: _print(console, answer, wide=False, explain=view.explain))


def wide(answer: TraceAnswer, view: View) -> str:
    """The same with every endpoint, every tree, and each rule as the dump has it."""
    return screen(view, lambda console: _print(console, answer, wide=True, explain=view.explain))


def _print(console: Console, answer: TraceAnswer, *, wide: bool, explain: bool) -> None:
    if answer.service is not None:
        console.print(Text(service_text(answer.service), style="bold"))
        console.print(Text(endpoints_text(answer), style="dim"))
    for group in _groups(answer.traces):
        console.print()
        console.print(_heading(group))
        console.print(Padding(_matrix(group, wide=wide), (0, 0, 0, 2), expand=False))
    if answer.totals and answer.service is not None:
        console.print()
        for total in answer.totals:
            console.print(_total(answer, total))
    if answer.remarks:
        console.print()
        bullets = Table.grid(padding=(0, 1, 0, 0))
        for remark in answer.remarks:
            bullets.add_row(Text("•", style="dim"), remark_text(remark))
        console.print(bullets)
    if answer.counts is not None:
        _print_counts(console, answer.counts, wide=wide)
    shown = answer.traces if wide or explain else answer.traces[:_TREES]
    for trace in shown:
        console.print()
        console.print(_entry_line(trace, answer))
        console.print(trace_tree(trace, wide=wide))
        for note in note_lines(trace):
            console.print(Text(f"note: {note}", style="dim"))
        for question in _open_questions(trace):
            how = answered_by(question)
            line = f"depends on: {safe(question.text)}{f' ({how})' if how else ''}"
            console.print(Text(line, style="yellow"))
        if explain:
            console.print(explained(trace))
    if len(shown) < len(answer.traces):
        rest = len(answer.traces) - len(shown)
        console.print()
        console.print(Text(f"{rest} more entries not shown: use --node NAME or -o wide.", style="dim"))


def _print_counts(console: Console, counts: Sequence[EndpointCount], *, wide: bool) -> None:
    """What the rules have counted, and since when that is."""
    console.print()
    console.print(Text("New connections that the rules counted, by every way in", style="bold"))
    console.print(Padding(counts_table(counts, rates=False, wide=wide), (0, 0, 0, 2), expand=False))
    since = "since kube-proxy last wrote these chains; when that was is not known"
    console.print(Text(f"Counted {since}. DIFFERENCE: by {TEST}.", style="dim"))


def _groups(traces: Iterable[NodeTrace]) -> list[list[NodeTrace]]:
    """Traces of one way in, entered at several nodes."""
    groups: dict[tuple[object, ...], list[NodeTrace]] = {}
    for trace in traces:
        front = trace.packet.dport if trace.via == "nodeport" else (trace.packet.dst, trace.packet.dport)
        groups.setdefault((trace.via, trace.port, trace.family, front, trace.packet.protocol), []).append(
            trace
        )
    return list(groups.values())


def _heading(group: Sequence[NodeTrace]) -> Text:
    first = group[0]
    via = VIA_NAMES[first.via]
    if first.via == "packet":
        return Text.assemble((packet_text(first.packet), "bold"))
    front = str(first.packet.dport) if first.via == "nodeport" else f"{first.packet.dst}:{first.packet.dport}"
    port = f" (port {port_text(first.port)})" if first.port else ""
    family = "IPv6 " if first.family == 6 else ""
    senders = {trace.origin for trace in group}
    sender = senders.pop() if len(senders) == 1 else "a pod on each node"
    source = f" ({first.packet.src})" if len({trace.packet.src for trace in group}) == 1 else ""
    return Text.assemble((f"{family}{via} {front}", "bold"), f"{port}, from {safe(sender)}{source}")


def _matrix(group: Sequence[NodeTrace], *, wide: bool) -> RenderableType:
    ends = _ends(group)
    if len(group) > _SIDE_BY_SIDE:
        return _by_entry(group)
    if len(ends) > _ROWS and not wide:
        return _by_node(group, ends)
    return _by_endpoint(group, ends)


def _ends(group: Sequence[NodeTrace]) -> list[Outcome]:
    """Every end of the group once, in the order met, the refused ones last."""
    found: dict[tuple[object, ...], Outcome] = {}
    for trace in group:
        for outcome in trace.outcomes:
            found.setdefault(_key(outcome), outcome)
    return sorted(
        found.values(),
        key=lambda o: (o.verdict is not Verdict.ACCEPT, o.address is None, int(o.address or 0), o.port or 0),
    )


def _by_key(trace: NodeTrace) -> dict[tuple[object, ...], list[Outcome]]:
    """The outcomes of a trace by their key in a table."""
    found: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in trace.outcomes:
        found.setdefault(_key(outcome), []).append(outcome)
    return found


def _key(outcome: Outcome) -> tuple[object, ...]:
    """The key of an end in a table."""
    return outcome.verdict, outcome.to, outcome.missing


def _by_endpoint(group: Sequence[NodeTrace], ends: Sequence[Outcome]) -> Table:
    """A row per endpoint, a column per entry node."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("GOES TO")
    for trace in group:
        table.add_column(Text(f"AT {safe_name(trace.node)}"))
    found = [_by_key(trace) for trace in group]
    for end in ends:
        cells = [_cell(trace, parts.get(_key(end), [])) for trace, parts in zip(group, found, strict=True)]
        table.add_row(_end(end, listed=group[0].via != "packet"), *cells)
    return table


def _by_node(group: Sequence[NodeTrace], ends: Sequence[Outcome]) -> Table:
    """A row per destination node, for services of many endpoints."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("GOES TO")
    table.add_column("ENDPOINTS", justify="right")
    for trace in group:
        table.add_column(Text(f"AT {safe_name(trace.node)}"))
    rows: dict[str, list[Outcome]] = {}
    for end in ends:
        node = end.backend.node if end.backend else None
        rows.setdefault(node or _nowhere(end), []).append(end)
    found = [_by_key(trace) for trace in group]
    for name, row in sorted(rows.items()):
        cells = []
        for trace, known in zip(group, found, strict=True):
            parts = [o for end in row for o in known.get(_key(end), [])]
            weight = NOTHING
            for outcome in parts:
                weight = weight + outcome.weight
            text = Text(bounded(weight.bounds()) if parts else "-", style="bold" if parts else "dim")
            if parts and crosses(trace, parts[0]):
                text.append(" crosses", style="yellow")
            cells.append(text)
        count = str(len(row)) if row[0].address is not None else ""
        table.add_row(Text(safe_name(name), style=VERDICT_STYLES[row[0].verdict]), count, *cells)
    return table


def _nowhere(end: Outcome) -> str:
    """The text for an end without a node, or whose node is not known."""
    if end.missing == CONNECTION:
        return "not known"
    if end.missing is not None:
        return "not in this text"
    return end.verdict.value if end.address is None else "no known node"


def _end(end: Outcome, *, listed: bool) -> Text:
    text = Text(outcome_text(end), style=VERDICT_STYLES[end.verdict])
    backend = end.backend
    if backend is not None and (backend.pod or backend.node):
        name = backend.pod or "this address"
        where = f" on {safe_name(backend.node)}" if backend.node else ""
        text.append(f"\n  {safe_name(name)}{where}", style="dim")
        if backend.terminating:
            text.append(" (terminating)", style="yellow")
    if listed and end.address is not None and end.dnat and (backend is None or not backend.listed):
        text.append(" not listed", style="bold red")
    return text


def crosses(trace: NodeTrace, outcome: Outcome) -> bool:
    """Whether an outcome leaves the entry node for another."""
    return outcome.backend is not None and outcome.backend.node not in (None, trace.node)


def _cell(trace: NodeTrace, parts: Sequence[Outcome]) -> Text:
    if not parts:
        return Text("-", style="dim")
    cell = Text()
    for number, outcome in enumerate(parts):
        cell.append("\n" if number else "")
        cell.append(bounded(outcome.bounds), style="bold yellow" if outcome.weight.exact is None else "bold")
        if crosses(trace, outcome):
            cell.append(" crosses", style="yellow")
        if outcome.verdict is Verdict.ACCEPT and outcome.missing is None:
            source = "as masqueraded" if outcome.snat == "masquerade" else f"as {outcome.snat}"
            seen = source if outcome.snat is not None else f"as {trace.packet.src}"
            cell.append(f"\n{seen}", style="dim")
    return cell


def _by_entry(group: Sequence[NodeTrace]) -> Table:
    """A row per entry node, for clusters of many nodes."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("ENTERED AT", "STAYS", "CROSSES", "REFUSED OR DROPPED", "ENDPOINTS"):
        table.add_column(name)
    for trace in group:
        stays = crossing = died = ZERO
        for outcome in trace.outcomes:
            share = outcome.bounds[0]
            if outcome.verdict is not Verdict.ACCEPT:
                died += share
            elif crosses(trace, outcome):
                crossing += share
            else:
                stays += share
        endpoints = sum(outcome.verdict is Verdict.ACCEPT for outcome in trace.outcomes)
        table.add_row(
            Text(safe_name(trace.node)),
            Text(share_text(stays) if stays else "-"),
            Text(share_text(crossing) if crossing else "-", style="yellow" if crossing else ""),
            Text(share_text(died) if died else "-", style="bold red" if died else ""),
            str(endpoints),
        )
    return table


def _total(answer: TraceAnswer, total: Total) -> Text:
    """Where traffic ends, and where it is lost: one way in, or several with the same ends."""
    if answer.entry:
        weights = ", ".join(f"{node}={weight}" if weight != 1 else node for node, weight in answer.entry)
        entered = f"Entered at {weights} only" if len(answer.entry) == 1 else f"Entered at {weights}"
    elif len({trace.node for trace in answer.traces}) == 1:
        entered = f"Entered at {answer.traces[0].node}"
    else:
        entered = "Entered equally"
    way = f" by the {VIA_NAMES[total.via]}" if len({each.via for each in answer.totals}) > 1 else ""
    if len([each for each in answer.totals if each.via == total.via]) > 1:
        way += f" ({port_text(total.port)}, IPv{total.family})" if total.port else f" (IPv{total.family})"
    reached = any(end.most for end in total.ends)
    text = Text(f"{safe(entered)}{way}{', traffic ends on: ' if reached else ': '}")
    parts = [(safe_name(end.node or "no known node"), end.share, end.most) for end in total.ends if end.most]
    parts += [(f"{lost.how} at {safe_name(lost.node)}", lost.share, lost.most) for lost in total.lost]
    for number, (name, low, high) in enumerate(parts):
        share = bounded((low, high))
        precise = f" ({percent(low)})" if low == high and share[-1] != "%" else ""
        text.append(", " if number else "")
        text.append(name, style="bold red" if number >= len(parts) - len(total.lost) else "bold")
        text.append(f" {share}{precise}")
    return text


def _entry_line(trace: NodeTrace, answer: TraceAnswer) -> Text:
    packet = trace.packet
    way = (
        "made here" if packet.local else f"in by {packet.iif}" if packet.iif else "in by an unknown interface"
    )
    via = "" if trace.via == "packet" or len(answer.traces) == 1 else f" {VIA_NAMES[trace.via]}"
    return Text.assemble(
        (f"{safe_name(trace.node)}", "bold cyan"), f"{via}  {packet_text(packet)}, {safe(way)}"
    )


def _open_questions(trace: NodeTrace) -> list[Question]:
    asked = {q for o in trace.outcomes if o.weight.exact is None for q in o.weight.questions()}
    return sorted(asked, key=lambda question: question.text)
