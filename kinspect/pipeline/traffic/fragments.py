"""Traces through incomplete texts: what would settle them, what kube-proxy adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from kinspect.kubeproxy import names
from kinspect.model.answer import Outcome
from kinspect.model.host import Host
from kinspect.model.rules import Lacking, Ruleset, Verdict
from kinspect.model.trace import Evaluation, Matched, Way

_OFFERED: Final = 4  # chains that a hint names


def hints(
    rulesets: Sequence[Ruleset], host: Host, evaluation: Evaluation, ends: Sequence[Outcome]
) -> Iterator[str]:
    """What would settle an evaluation that depends on missing text or on an option that was not given."""
    for rules in rulesets:
        if not rules.tables() and evaluation.lacking:
            yield (
                f"{rules.source} holds no rules: iptables-save prints nothing without root, and not the"
                " other back end's rules (iptables-legacy-save, iptables-nft-save)"
            )
    chains = [lacking for lacking in evaluation.lacking if lacking.table is not None]
    if chains:
        yield from _starts(rulesets, chains[0])
    if evaluation.lacking:
        yield "the whole output of iptables-save (without -t, without grep) has every table"
    if host.addresses is None and any(end.weight.exact is None for end in ends):
        yield "the host's own addresses are not known: name them with --local ADDRESS, once per address"


def _starts(rulesets: Sequence[Ruleset], lacking: Lacking) -> Iterator[str]:
    """Where a walk could begin instead of at the missing chain."""
    if lacking.table is None:
        return
    for rules in rulesets:
        found = [f"--start {lacking.table}:{chain}" for chain in rules.beginnings(lacking.table)]
        if found:
            more = f" and {len(found) - _OFFERED} more" if len(found) > _OFFERED else ""
            yield (
                f"{lacking.what} is not in this text; {' or '.join(found[:_OFFERED])}{more} begins at a"
                " chain that nothing here jumps to"
            )


def dropped_when_marked(evaluation: Evaluation, rules: Ruleset) -> Evaluation:
    """KUBE-FIREWALL of filter drops what KUBE-MARK-DROP marked, after the end of the walk."""
    if names.FILTER in rules.tables() and rules.chain(names.FILTER, names.FIREWALL) is None:
        return evaluation
    ways = [_dropped(way) if _marked(way) else way for way in evaluation]
    if ways == list(evaluation.ways):
        return evaluation
    note = (
        f"{names.MARK_DROP} marks packets, and {names.FIREWALL} of table filter drops those that are marked"
    )
    return msgspec.structs.replace(evaluation, ways=tuple(ways), notes=(*evaluation.notes, note))


def _marked(way: Way) -> bool:
    events = way.events()
    return way.verdict is Verdict.ACCEPT and any(
        isinstance(event, Matched) and event.rule.chain == names.MARK_DROP for event in events
    )


def _dropped(way: Way) -> Way:
    return msgspec.structs.replace(way, verdict=Verdict.DROP, missing=None)
