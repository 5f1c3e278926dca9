"""Rules that are not as kube-proxy leaves them: half written, jumps into nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from kinspect.kubeproxy.names import JUMPS, NAT, has_services
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.cause import RuleReference
from kinspect.model.check import ServiceKey
from kinspect.model.node import NodeState
from kinspect.model.packet import Family
from kinspect.model.rules import ChainName, LeadsTo, Rule, Ruleset, TableName

HALF: Final = FindingKind(
    code="KI301",
    title="incomplete kube-proxy rules",
    severity=Severity.ERROR,
    depends=frozenset({"rules"}),
    means="Some of what kube-proxy writes is there and some is not: the chains but not the jumps to them from"
    " PREROUTING, OUTPUT or POSTROUTING, an empty KUBE-SERVICES, or one family's rules but not the other's. A"
    " restore failed half way, or something flushed a chain. kube-proxy's health check does not notice.",
    todo="Restart kube-proxy on the node; find out what else there writes iptables rules.",
    root=True,
    look=("iptables-save -t nat | grep -e '-A PREROUTING' -e '-A OUTPUT' -e '-A POSTROUTING'",),
)
DANGLING: Final = FindingKind(
    code="KI302",
    title="jump to a chain that is not there",
    severity=Severity.ERROR,
    depends=frozenset({"rules"}),
    means="A rule leads to a chain that the dump does not have. No kernel holds such rules: the dump is"
    " damaged, cut short, or edited.",
    todo="Take the dump again.",
)
KINDS: Final = (HALF, DANGLING)


def half_written(state: NodeState, wanted: frozenset[Family]) -> Iterator[Observation]:
    """``wanted``: the families that have services with ready endpoints."""
    if state.data_path != "iptables":
        return
    for family, rulesets in state.rulesets.items():
        carrying = [rules for rules in rulesets if has_services(rules)]
        for rules in carrying:
            yield from _jumps(state.name, rules)
        if rulesets and not carrying and family in wanted:
            text = f"{rulesets[0].source} has no rules in KUBE-SERVICES, though there are services of IPv{family}"
            yield Observation(kind=HALF, text=text, nodes=(state.name,))


def _jumps(node: str, rules: Ruleset) -> Iterator[Observation]:
    for hook, name in JUMPS:
        chain = rules.chain(NAT, ChainName(hook))
        if chain is None or not any(_leads(rule, name) for rule in chain.rules()):
            text = f"{rules.source}: nothing leads from {hook} of nat to {name}"
            yield Observation(kind=HALF, text=text, nodes=(node,))


def with_consequences(
    observations: Iterable[Observation], without_jump: Mapping[str, Collection[ServiceKey]]
) -> Iterator[Observation]:
    """The observations; a missing jump names how many services cannot be reached because of it."""
    for each in observations:
        services = {key for node in each.nodes for key in without_jump.get(node, ())}
        if each.kind is HALF and services:
            number = f"{len(services)} service{'s' if len(services) > 1 else ''}"
            each = replace(each, text=f"{each.text}; {number} cannot be reached because of it")
        yield each


def dangling(state: NodeState) -> Iterator[Observation]:
    """Jumps to chains that are not there."""
    for rulesets in state.rulesets.values():
        for dump in rulesets:
            if dump.complete:
                yield from _dangling(state.name, dump)


def _dangling(node: str, dump: Ruleset) -> Iterator[Observation]:
    for table in dump.tables():
        for name in sorted(dump.jumps(table)):
            if dump.holds(table, name):
                continue
            rules = [
                RuleReference(dump.source, rule.line, table, rule.chain, rule.text)
                for rule in _leading(dump, table, name)
            ]
            if rules:
                text = f"table {table} has no chain {name}"
                yield Observation(kind=DANGLING, text=text, nodes=(node,), evidence=tuple(rules))


def _leading(dump: Ruleset, table: TableName, name: ChainName) -> Iterator[Rule]:
    for chain_name in dump.chains(table):
        chain = dump.chain(table, chain_name)
        for rule in chain.rules() if chain else ():
            if _leads(rule, name):
                yield rule


def _leads(rule: Rule, name: ChainName) -> bool:
    return isinstance(rule.target, LeadsTo) and rule.target.chain == name
