"""Two back ends at once: which one has kube-proxy's rules, and which one packets have met.

Both of iptables' back ends may have rules on one node, and packets pass both. In their nat tables
the first that binds a connection is followed, and which is asked first is not in any dump: the
kernel asks in the order in which they were registered (nf_nat_register_fn, nf_nat_inet_fn).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kinspect.kubeproxy.names import ENDPOINT, NAT, has_services
from kinspect.model.rules import Rule, Ruleset
from kinspect.model.trace import Evaluation


@dataclass(frozen=True, slots=True)
class BackEnds:
    """What is to be said of a node's two back ends about one packet."""

    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def back_ends(node: str, rulesets: Sequence[Ruleset], evaluation: Evaluation) -> BackEnds:
    """Which back end carries kube-proxy's rules; a warning where they send the packet apart."""
    if len(rulesets) < 2:
        return BackEnds()
    carrying = [rules for rules in rulesets if has_services(rules)]
    if not carrying:
        return BackEnds()
    if len(carrying) == 1:
        (only,) = carrying
        return BackEnds((f"kube-proxy's rules are those of {_name(only)}; the other back end has none",))
    note = "kube-proxy's rules are in both back ends"
    met = _met(carrying, evaluation)
    if met:
        note += f"; packets that met their DNAT rules for this: {_counts(carrying, met)}"
    questions = {question for way in evaluation for question in way.weight.questions()}
    if not any(question.kind == "back-end-order" and question.about == NAT for question in questions):
        return BackEnds((note,))
    counted = [rules for rules in carrying if met.get(rules.source)]
    evidence = "no dump tells which of them is asked first"
    if len(counted) == 1:
        evidence += f", but only those of {_name(counted[0])} have been met by packets"
    warning = (
        f"{node}: kube-proxy's rules are in both back ends and send this to different places: {evidence}"
        " (flush those that its kube-proxy no longer writes)"
    )
    return BackEnds((note,), (warning,))


def _met(carrying: Sequence[Ruleset], evaluation: Evaluation) -> dict[str, int]:
    """The packets that the DNAT rules of either have counted, by dump; empty without counters."""
    met = {rules.source: 0 for rules in carrying}
    seen = False
    for (source, table, _), rule in evaluation.met.items():
        if table == NAT and source in met and rule.counters and _to_endpoint(rule):
            met[source] += rule.counters.packets
            seen = True
    return met if seen else {}


def _to_endpoint(rule: Rule) -> bool:
    """Whether it is the DNAT of one of kube-proxy's chains for endpoints."""
    if rule.target is None or not rule.chain.startswith(ENDPOINT):
        return False
    return rule.target.described().role == "rewrites"


def _counts(carrying: Sequence[Ruleset], met: dict[str, int]) -> str:
    return ", ".join(f"{met.get(rules.source, 0)} in {_name(rules)}" for rules in carrying)


def _name(rules: Ruleset) -> str:
    return f"{rules.backend} ({rules.source})" if rules.backend else rules.source
