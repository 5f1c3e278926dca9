"""A trace as a tree of the chains walked: where ways part, their shares; at the ends, who gets it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from rich.text import Text
from rich.tree import Tree

from kinspect.model.answer import NodeTrace, Outcome
from kinspect.model.odds import NOTHING, Weight
from kinspect.model.rules import Rule, Verdict
from kinspect.model.trace import ChainPolicy, Event, Matched, Routed, Way
from kinspect.netfilter.targets.verdict import Jump, Return
from kinspect.report.words import backend_text, bounded, outcome_text
from kinspect.sanitise import safe

_ROLE_STYLES: Final = {"ends": "bold red", "rewrites": "bold"}
_VERDICT_STYLES: Final = {Verdict.DROP: "bold red", Verdict.REJECT: "bold red"}
_LEAVES = 12  # ways under one chain that are shown unasked


@dataclass(slots=True)
class _Fork:
    """Events that all ways share, then the ways that part behind them."""

    events: list[Event]
    ways: Sequence[Way]
    children: list[_Fork] = field(default_factory=list)
    outcome: Outcome | None = None

    def weight(self) -> Weight:
        """The share of its ways. Summed only if it is shown: with thousands of endpoints it takes long."""
        weight = NOTHING
        for way in self.ways:
            weight = weight + way.weight
        return weight


def trace_tree(trace: NodeTrace, *, wide: bool = False) -> Tree:
    """The tree of one trace; ``wide`` shows each rule as the dump has it."""
    ways = [(way.events(), way, outcome) for outcome in trace.outcomes for way in outcome.ways]
    tree = Tree(Text(""), hide_root=True, guide_style="dim")
    root = _fork(ways, 0)
    if root.events or root.outcome is not None:
        _grow(tree, trace, root, wide=wide, share=False)
    else:  # the ways part at once
        for child in root.children:
            _grow(tree, trace, child, wide=wide, share=True)
    return tree


def _fork(ways: Sequence[tuple[list[Event], Way, Outcome]], at: int) -> _Fork:
    """The common beginning of the ways, from event ``at`` on, and what comes behind."""
    first, end = ways[0][0], at
    while (
        all(end < len(events) for events, _, _ in ways)
        and len({_key(events[end]) for events, _, _ in ways}) == 1
    ):
        end += 1
    fork = _Fork(first[at:end], [way for _, way, _ in ways])
    if len(ways) == 1:
        fork.outcome = ways[0][2]
        return fork
    groups: dict[object, list[tuple[list[Event], Way, Outcome]]] = {}
    for number, entry in enumerate(ways):
        key = _key(entry[0][end]) if end < len(entry[0]) else ("end", number)
        groups.setdefault(key, []).append(entry)
    fork.children = [_fork(group, end) for group in groups.values()]
    return fork


def _key(event: Event) -> object:
    match event:
        case Matched(place, rule):
            return (place.hook, place.table, place.source, rule.line)
        case ChainPolicy(place, chain):
            return (place.hook, place.table, place.source, chain)
        case Routed(where):
            return where


def _grow(tree: Tree, trace: NodeTrace, fork: _Fork, *, wide: bool, share: bool) -> None:
    lines = _rules(fork.events) if wide else _chains(_telling(fork.events, more=bool(fork.children)))
    label = Text()
    if share:
        weight = fork.weight()
        exact = weight.exact
        label.append(f"{bounded(weight.bounds())}  ", style="bold" if exact is not None else "bold yellow")
    for number, line in enumerate(lines):
        label.append("\n" if number else "")
        label.append_text(line)
    if fork.outcome is not None:
        if lines:
            label.append("\n")
        label.append_text(_end(trace, fork.outcome))
    branch = tree.add(label)
    children = fork.children
    for child in children if wide else children[:_LEAVES]:
        _grow(branch, trace, child, wide=wide, share=True)
    if not wide and len(children) > _LEAVES:
        branch.add(Text(f"… and {len(children) - _LEAVES} more (-o wide shows them)", style="dim"))


def _end(trace: NodeTrace, outcome: Outcome) -> Text:
    if outcome.verdict is not Verdict.ACCEPT:
        return Text(f"⇒ {outcome.verdict.value}", style="bold red")
    text = Text("⇒ ", style="dim")
    text.append(outcome_text(outcome), style="bold green" if outcome.missing is None else "bold yellow")
    backend = outcome.backend
    if backend is not None and (backend.pod or backend.node):
        text.append(f"  {backend_text(backend)}")
        if backend.node not in (None, trace.node):
            text.append(", another node", style="yellow")
    if outcome.ways[0].delivered:
        text.append(
            ", this host itself" if backend is None or backend.node is None else ", the host itself", "dim"
        )
    return text


def _chains(events: Sequence[Event]) -> list[Text]:
    """One line a hook: the chains entered and what their rules did."""
    lines: list[Text] = []
    hook = ""
    for event in events:
        match event:
            case Matched(place, rule):
                name = f"{place.table} {place.hook}".strip() + (
                    f" ({place.backend})" if place.backend and _split(events) else ""
                )
                step, style = _step(rule)
            case ChainPolicy(place, chain, verdict):
                name = f"{place.table} {place.hook}"
                step, style = f"{verdict.value} (policy of {chain})", _VERDICT_STYLES.get(verdict, "")
            case Routed(where):
                name, step, style = "routing", where, ""
        if name == hook:
            lines[-1].append(" → ", style="dim")
        else:
            lines.append(Text.assemble((f"{safe(name)}: ", "dim")))
            hook = name
        lines[-1].append(safe(step), style=style)
    return lines


def _telling(events: Sequence[Event], *, more: bool) -> list[Event]:
    """Without the chains that were entered and left again with nothing done there.

    ``more``: ways part behind these events, so the chains they end in are not left yet.
    """
    kept: list[Event] = []
    for number, event in enumerate(events):
        if isinstance(event, Matched) and _idle(event, events[number + 1 :], more):
            continue
        kept.append(event)
    return kept


def _idle(event: Matched, behind: Sequence[Event], more: bool) -> bool:
    """Whether the rule did nothing that lasts: RETURN, or a jump to a chain that did nothing."""
    if isinstance(event.rule.target, Return):
        return True
    if not isinstance(event.rule.target, Jump):
        return False
    inside = []
    for other in behind:
        if not isinstance(other, Matched) or other.place != event.place or other.depth <= event.depth:
            break
        inside.append(other)
    else:
        if more:
            return False  # the walk is still inside when the ways part
    return all(_idle(other, inside[number + 1 :], False) for number, other in enumerate(inside))


def _split(events: Sequence[Event]) -> bool:
    """Whether rules of more than one back end took part."""
    return len({event.place.backend for event in events if isinstance(event, Matched)}) > 1


def _step(rule: Rule) -> tuple[str, str]:
    """What a rule did, such as ``DNAT to 10.0.0.1:80``, and its style."""
    did = rule.target.described() if rule.target is not None else None
    if did is None or not did.text:
        return "counted", ""
    return did.text, _ROLE_STYLES.get(did.role, "")


def _rules(events: Sequence[Event]) -> list[Text]:
    """One line a rule, with its line in the dump."""
    lines = []
    for event in events:
        match event:
            case Matched(place, rule, depth):
                where = (
                    f"{place.table} {place.hook} {place.source}:{rule.line}"
                    if rule.line > 0
                    else f"{place.table} {place.hook} (assumed)"
                )
                lines.append(Text.assemble((f"{'  ' * depth}{safe(where)} ", "dim"), safe(rule.text)))
            case ChainPolicy(place, chain, verdict):
                lines.append(
                    Text.assemble((f"{place.table} {place.hook} ", "dim"), f"policy {chain} {verdict.value}")
                )
            case Routed(where):
                lines.append(Text.assemble(("routing ", "dim"), safe(where)))
    return lines
