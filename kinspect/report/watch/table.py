"""Readings for people: a line each in a pipe, a table on a terminal and at the end."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from kinspect.model.counts import EndpointCount, NodeReading, ReadingAnswer
from kinspect.report.counts import port_name
from kinspect.report.counts_table import TEST, counts_table, observed_text, rate_text
from kinspect.report.screen import View, screen
from kinspect.report.words import bounded
from kinspect.sanitise import safe, safe_name

_CONDITIONS = {
    "first": "first reading",
    "counted": "",
    "reset": "counters reset",
    "rewritten": "rules changed, counting anew",
    "waiting": "no reading yet",
    "gone": "gone",
}


def line(answer: ReadingAnswer, view: View) -> str:
    """One line: the time, all new connections a second, and each node's endpoints."""
    return _line(answer, wide=False)


def wide(answer: ReadingAnswer, view: View) -> str:
    """The same with p-values."""
    return _line(answer, wide=True)


def _line(answer: ReadingAnswer, *, wide: bool) -> str:
    rates = [one.rate for one in answer.counts if one.rate is not None]
    parts = [f"{answer.time}  {rate_text(sum(rates) if rates else None)}"]
    for node in answer.nodes:
        told = [text for text in (_condition(node),) if text]
        told += [_endpoint(one, wide=wide) for one in answer.counts if one.node == node.node]
        parts.append(f"{safe_name(node.node)}: {', '.join(told) or 'no endpoints'}")
    return "; ".join(parts)


def _condition(node: NodeReading) -> str:
    why = f" ({safe(node.why)})" if node.why else ""
    return f"{_CONDITIONS[node.condition]}{why}"


def _endpoint(count: EndpointCount, *, wide: bool) -> str:
    port = f"{safe(port_name(count) or '?')} " if count.port and count.port.name else ""
    text = f"{port}{safe(count.to)} {rate_text(count.rate)} {observed_text(count)} of {bounded(count.share)}"
    if wide and count.chance is not None:
        text += f" p={count.chance:.2g}"
    return f"{text} MORE THAN CHANCE" if count.judgement == "more-than-chance" else text


def summary(answer: ReadingAnswer, view: View, *, wide: bool) -> str:
    """What was counted from the first reading to this one."""
    return screen(view, lambda console: console.print(live(answer, wide=wide)))


def live(answer: ReadingAnswer, *, wide: bool) -> RenderableType:
    """A reading as it stands on a terminal until the next one."""
    service = answer.service
    head = f"{safe(service.namespace)}/{safe(service.name)}: new connections in {answer.elapsed:.0f} s"
    table = counts_table(answer.counts, rates=True, wide=wide)
    return Group(
        Text(head, style="bold"),
        Padding(table, (0, 0, 0, 2), expand=False),
        *_notes(answer),
    )


def _notes(answer: ReadingAnswer) -> Iterator[Text]:
    for node in answer.nodes:
        told = [_condition(node)] if node.condition not in ("counted", "first") else []
        told += [f"{node.resets} resets so far"] if node.resets else []
        told += [f"rules changed {node.rewrites} times so far"] if node.rewrites else []
        if told:
            style = "bold red" if node.condition == "gone" else "yellow"
            yield Text(f"{safe_name(node.node)}: {', '.join(told)}", style=style)
    if answer.service.affinity_seconds is not None:
        yield Text(
            "Client affinity: connections are no independent draws, so nothing is tested.", style="dim"
        )
    else:
        yield Text(f"DIFFERENCE: by {TEST}, of all connections counted.", style="dim")
