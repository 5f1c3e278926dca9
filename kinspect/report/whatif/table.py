"""What would happen, for people: a sentence, the shares before and after, and what else follows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kinspect.model.answer import Bounds, NodeTrace, Outcome, TraceAnswer
from kinspect.model.odds import NOTHING
from kinspect.model.whatif import ServiceEffect, WhatIfAnswer
from kinspect.report.check.table import draw
from kinspect.report.screen import View, screen
from kinspect.report.trace.table import VERDICT_STYLES
from kinspect.report.whatif.words import (
    change_text,
    changes,
    connection_lines,
    consequence_text,
    headline,
    replacement_text,
)  # fmt: skip
from kinspect.report.words import VIA_NAMES, bounded, outcome_text
from kinspect.sanitise import safe

_SIDE_BY_SIDE = 4  # entry nodes that fit beside each other in 80 columns
_ROWS = 16  # endpoints that are shown one by one unasked
_SERVICES = 4  # services whose shares are shown unasked

End = tuple[object, ...]


def table(answer: WhatIfAnswer, view: View) -> str:
    """The changes, what they do in a sentence, the matrix, and what follows."""
    return screen(view, lambda console: _print(console, answer, wide=False))


def wide(answer: WhatIfAnswer, view: View) -> str:
    """The same with every service and endpoint, and the settings read off the rules."""
    return screen(view, lambda console: _print(console, answer, wide=True))


def _print(console: Console, answer: WhatIfAnswer, *, wide: bool) -> None:
    console.print(Text(f"If {_joined([change_text(change) for change in answer.changes])}:", style="dim"))
    for sentence in headline(answer):
        console.print(Text(sentence, style="bold"))
    shown = [effect for effect in answer.effects if changes(effect) or effect.service == answer.target]
    for effect in shown if wide else shown[:_SERVICES]:
        print_effect(console, effect, wide=wide)
    if not wide and len(shown) > _SERVICES:
        console.print()
        console.print(
            Text(f"{len(shown) - _SERVICES} more services: -o wide shows their shares.", style="dim")
        )
    lines = [*map(consequence_text, answer.consequences), *map(replacement_text, answer.replacements)]
    lines += connection_lines(answer)
    lines += [
        f"{safe(each.node)} lags behind the API: {safe(', '.join(each.services))}." for each in answer.lagging
    ]
    if lines:
        console.print()
        bullets = Table.grid(padding=(0, 1, 0, 0))
        for line in dict.fromkeys(lines):
            bullets.add_row(Text("•", style="dim"), line)
        console.print(bullets)
    if answer.checked is not None:
        console.print()
        draw(console, answer.checked, wide=wide)
    if wide:
        _print_inferred(console, answer)


def _joined(parts: Sequence[str]) -> str:
    return ", then ".join(parts)


def print_effect(console: Console, effect: ServiceEffect, *, wide: bool) -> None:
    """Print a service's shares before and after, one matrix a way in."""
    old, new = _groups(effect.before), _groups(effect.after)
    for key in dict.fromkeys([*old, *new]):
        before, after = old.get(key, []), new.get(key, [])
        first = (before or after)[0]
        front = (
            str(first.packet.dport) if first.via == "nodeport" else f"{first.packet.dst}:{first.packet.dport}"
        )
        family = "IPv6 " if first.family == 6 else ""
        origin = (
            first.origin if len({trace.origin for trace in (before or after)}) == 1 else "a pod on each node"
        )
        console.print()
        console.print(
            Text.assemble(
                (f"{safe('/'.join(effect.service))}: {family}{VIA_NAMES[first.via]} {front}", "bold"),
                f", from {safe(origin)}",
            )
        )
        console.print(Padding(_matrix(before, after, wide=wide), (0, 0, 0, 2), expand=False))


def _groups(answer: TraceAnswer | None) -> dict[End, list[NodeTrace]]:
    """Traces of one way in, entered at several nodes."""
    found: dict[End, list[NodeTrace]] = {}
    for trace in answer.traces if answer is not None else ():
        packet = trace.packet
        front = packet.dport if trace.via == "nodeport" else (packet.dst, packet.dport)
        found.setdefault((trace.via, trace.family, front, packet.protocol), []).append(trace)
    return found


def _matrix(before: Sequence[NodeTrace], after: Sequence[NodeTrace], *, wide: bool) -> Table:
    old, new = {t.node: t for t in before}, {t.node: t for t in after}
    nodes = list(dict.fromkeys([*old, *new]))
    ends = _ends([*before, *after])
    few = len(nodes) <= _SIDE_BY_SIDE or wide
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("GOES TO")
    for node in nodes if few else ():
        table.add_column(Text(f"AT {safe(node)}"))
    if len(nodes) > 1:
        table.add_column("AT ALL ALIKE")
    rows = list(ends.items())
    # What changes first, where not all can be shown.
    changed = [
        row for row in rows if any(_share(old.get(n), row[0]) != _share(new.get(n), row[0]) for n in nodes)
    ]
    kept = rows if wide or len(rows) <= _ROWS else changed[:_ROWS]
    for end, outcome in kept:
        shares = [(_share(old.get(node), end), _share(new.get(node), end)) for node in nodes]
        cells = [_cell(old_share, new_share) for old_share, new_share in shares] if few else []
        if len(nodes) > 1:
            cells.append(_cell(_mean(s[0] for s in shares), _mean(s[1] for s in shares)))
        table.add_row(_end(outcome), *cells)
    if len(kept) < len(rows):
        table.add_row(Text(f"{len(rows) - len(kept)} more: -o wide", style="dim"))
    return table


def _ends(traces: Iterable[NodeTrace]) -> dict[End, Outcome]:
    """Every end once; those that die last."""
    found: dict[End, Outcome] = {}
    for trace in traces:
        for outcome in trace.outcomes:
            found[outcome.verdict, outcome.to] = outcome
    ordered = sorted(found.items(), key=lambda e: (e[1].to is None, int(e[1].address or 0), e[1].port or 0))
    return dict(ordered)


def _share(trace: NodeTrace | None, end: End) -> Bounds | None:
    """The share of an end; None: nothing enters there by this way."""
    if trace is None:
        return None
    weight = NOTHING
    for outcome in trace.outcomes:
        if (outcome.verdict, outcome.to) == end:
            weight = weight + outcome.weight
    return weight.bounds()


def _mean(shares: Iterable[Bounds | None]) -> Bounds | None:
    known = [share for share in shares if share is not None]
    if not known:
        return None
    low, high = sum((s[0] for s in known), Fraction(0)), sum((s[1] for s in known), Fraction(0))
    return low / len(known), high / len(known)


def _cell(before: Bounds | None, after: Bounds | None) -> Text:
    old, new = _shown(before), _shown(after)
    if old == new:
        return Text(old, style="dim" if old == "-" else "")
    style = "green"
    if after is None or (before is not None and after[1] < before[1]):
        style = "yellow"
    return Text.assemble((old, "dim"), (" → ", "dim"), (new, f"bold {style}"))


def _shown(share: Bounds | None) -> str:
    if share is None:
        return "-"
    return bounded(share) if share[1] else "-"


def _end(outcome: Outcome) -> Text:
    text = Text(outcome_text(outcome), style=VERDICT_STYLES[outcome.verdict])
    owner = outcome.backend
    if owner is not None and (owner.pod or owner.node):
        where = f" on {owner.node}" if owner.node else ""
        text.append(f"  {safe(owner.pod or 'this address')}{safe(where)}", style="dim")
    return text


def _print_inferred(console: Console, answer: WhatIfAnswer) -> None:
    """kube-proxy's settings, as each node's rules show them."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("NODE", "IPV", "SETTING", "VALUE", "SHOWN BY"):
        table.add_column(name, overflow="fold")
    for each in answer.inferred:
        shown = safe(each.rule or "no rule: the default")
        table.add_row(
            safe(each.node), str(each.family), each.setting, safe(each.value), Text(shown, style="dim")
        )
    if answer.inferred:
        console.print()
        console.print(table)
