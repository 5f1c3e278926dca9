"""kube-proxy's rules that lost a part: written by one iptables, and printed by another that cannot read them.

iptables-nft of one version keeps some matches in a form that another version does not know, and leaves
them out when it prints (kubernetes issue 112477: the mark match; others lose the port, or the statistic).
The kernel still has the rule as it was written, so nothing that follows from the printed rules is sure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kinspect.kubeproxy.names import (
    ENDPOINT,
    FIREWALL,
    LEADING_TO_ENDPOINTS,
    LOCAL,
    NAT,
    NODEPORTS,
    POSTROUTING,
    SERVICE,
    SERVICES,
)
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.cause import RuleReference
from kinspect.model.node import NodeState
from kinspect.model.rules import Distinguishes, LeadsTo, Match, Rule, Ruleset, TableName

MISPRINTED: Final = FindingKind(
    code="KI303",
    title="rules that lost their port, mark or probability",
    severity=Severity.ERROR,
    depends=frozenset({"rules"}),
    means="Rules of kube-proxy lack a part that it always writes: the port of a service, the mark that"
    " KUBE-FIREWALL or KUBE-POSTROUTING asks for, the probability of an endpoint, the address of a DNAT. An iptables"
    " printed them that cannot read what another version wrote (iptables-nft of the node and of kube-proxy's image),"
    " or wrote them anew like this: then every packet meets them as they are printed.",
    todo="Read the rules with kube-proxy's own iptables: --transport exec. If they are the same there, see that"
    " kube-proxy's image and the node have iptables of the same back end and of near versions, and restart"
    " kube-proxy.",
    look=(
        "iptables-save -t nat | grep -e KUBE-SERVICES -e KUBE-NODEPORTS | grep -v dport",
        "iptables-save | grep -e KUBE-FIREWALL -e KUBE-POSTROUTING",
        "iptables --version",
    ),
    root=True,
)
KINDS: Final = (MISPRINTED,)

_FILTER: Final = TableName("filter")
_NO_ADDRESS: Final = re.compile(r" --to-destination :\d*(?= |$)")
_CHOOSES: Final = ("--probability", "--every", "--rcheck")


def misprinted(state: NodeState) -> Iterator[Observation]:
    """One finding for each part that rules of the node have lost."""
    for rulesets in state.rulesets.values():
        for rules in rulesets:
            for what, lost in (
                ("a rule leads to a service for any port", _portless(rules)),
                ("the rule of KUBE-FIREWALL that drops marked packets asks for no mark", _dropping(rules)),
                ("KUBE-POSTROUTING returns packets with any mark", _returning(rules)),
                ("endpoints before the last one have no probability", _choosing(rules)),
                ("a DNAT has no address", _nowhere(rules)),
            ):
                evidence = tuple(lost)
                if evidence:
                    yield Observation(kind=MISPRINTED, text=what, nodes=(state.name,), evidence=evidence)


def _portless(rules: Ruleset) -> Iterator[RuleReference]:
    """Rules that lead to a service and ask for no port."""
    for name in (SERVICES, NODEPORTS):
        chain = rules.chain(NAT, name)
        for rule in chain.without(" --dport", " --destination-port") if chain else ():
            if _to_service(rule) and not any(_asks_port(clause.match) for clause in rule.clauses):
                yield RuleReference(rules.source, rule.line, NAT, rule.chain, rule.text)


def _dropping(rules: Ruleset) -> Iterator[RuleReference]:
    for line, text in rules.lines(_FILTER, FIREWALL):
        if "dropping marked packets" in text and " --mark " not in text:
            yield RuleReference(rules.source, line, _FILTER, FIREWALL, text)


def _returning(rules: Ruleset) -> Iterator[RuleReference]:
    for line, text in rules.lines(NAT, POSTROUTING):
        if text.endswith("-j RETURN") and " --mark " not in text:
            yield RuleReference(rules.source, line, NAT, POSTROUTING, text)


def _choosing(rules: Ruleset) -> Iterator[RuleReference]:
    """Jumps to endpoints that leave nothing for those behind them: only the last one of a chain does so."""
    for name in rules.chains(NAT):
        if not name.startswith((SERVICE, LOCAL)):
            continue
        jumps = [
            (line, text)
            for line, text in rules.lines(NAT, name)
            if f"-j {ENDPOINT}" in text and not any(word in text for word in _CHOOSES)
        ]
        for line, text in jumps[:-1]:
            yield RuleReference(rules.source, line, NAT, name, text)


def _nowhere(rules: Ruleset) -> Iterator[RuleReference]:
    for name in rules.chains(NAT):
        if name.startswith(ENDPOINT):
            for line, text in rules.lines(NAT, name):
                if _NO_ADDRESS.search(text):
                    yield RuleReference(rules.source, line, NAT, name, text)


def _to_service(rule: Rule) -> bool:
    return isinstance(rule.target, LeadsTo) and rule.target.chain.startswith(LEADING_TO_ENDPOINTS)


def _asks_port(match: Match) -> bool:
    """Whether it looks at the destination port."""
    told = match.distinguishes() if isinstance(match, Distinguishes) else None
    return told is not None and bool(told.ports)
