"""``--explain``: every rule of the chains visited, and why it did or did not match."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from kinspect.model.answer import NodeTrace
from kinspect.sanitise import safe

_MARKS = {True: ("yes", "bold green"), False: ("no ", "dim"), None: ("may", "bold yellow")}


def explained(trace: NodeTrace) -> RenderableType:
    """The rules in the order looked at, under their hook and chain."""
    lines: list[Text] = []
    hook = chain = ""
    for entry in trace.evaluation.considered:
        place = f"{entry.place.table} {entry.place.hook} ({entry.place.source})"
        if place != hook:
            lines.append(Text(f"\n{safe(place)}", style="bold"))
            hook, chain = place, ""
        if entry.rule.chain != chain:
            chain = entry.rule.chain
            lines.append(Text(f"{'  ' * (entry.depth + 1)}{safe(chain)}", style="cyan"))
        mark, style = _MARKS[entry.held]
        indent = "  " * (entry.depth + 2)
        lines.append(
            Text.assemble(
                indent, (mark, style), (f" {_line(entry.rule.line):>4} ", "dim"), safe(entry.rule.text)
            )
        )
        lines.append(Text(f"{indent}         {safe(entry.why)}", style="dim"))
    return Group(*lines)


def _line(number: int) -> str:
    """A line's number; a rule that no line holds is an assumption."""
    return str(number) if number > 0 else "-"
