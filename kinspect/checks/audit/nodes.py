"""Nodes whose rules tell little: not read, or not what kube-proxy works by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from kinspect.kubeproxy.names import NAT, has_services
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.check import RuleReference
from kinspect.model.node import NodeState
from kinspect.model.rules import ChainName, Ruleset

UNREAD: Final = FindingKind(
    code="KI201",
    title="node not read",
    severity=Severity.WARNING,
    depends=frozenset({"node files", "rules"}),
    means="Nothing is known of the rules of a node: it did not answer, or its dump could not be read.",
    todo="See why, and audit it again; --node narrows an audit to nodes that can be read.",
)
DATA_PATH: Final = FindingKind(
    code="KI202",
    title="data path is not iptables",
    severity=Severity.WARNING,
    depends=frozenset({"node files", "rules"}),
    means="kube-proxy works by IPVS or nftables there, or something else (an eBPF data path) does its work."
    " kinspect follows iptables rules: it can say nothing of services there.",
    todo="Where it is meant so, leave the node out with --node. Where only some nodes are like this, find out"
    " why they differ.",
    look=("curl http://127.0.0.1:10249/proxyMode", "kubectl -n kube-system get cm kube-proxy -o yaml"),
)
BOTH: Final = FindingKind(
    code="KI203",
    title="kube-proxy's rules in both back ends",
    severity=Severity.ERROR,
    depends=frozenset({"node files", "rules"}),
    means="Both iptables-legacy and iptables-nft hold rules of kube-proxy on a node. Packets meet both; the one"
    " that kube-proxy no longer writes sends to endpoints of the day on which it was left.",
    todo="Find which of the two kube-proxy writes (its image's iptables), and flush the other's KUBE- chains, or"
    " restart the node.",
    look=("iptables-legacy-save | grep -c KUBE", "iptables-nft-save | grep -c KUBE"),
)
KINDS: Final = (UNREAD, DATA_PATH, BOTH)


def unread(names: Iterable[str]) -> Iterator[Observation]:
    """Nodes of which nothing is known; why is said with what was not determined."""
    for node in names:
        yield Observation(kind=UNREAD, text="none of its rules were read", nodes=(node,))


def data_path(state: NodeState) -> Iterator[Observation]:
    """What is said of a node whose services are not kept by iptables."""
    if state.data_path != "iptables":
        how = {"ipvs": "IPVS", "nftables": "nftables", "none": "no rules of kube-proxy"}
        text = f"{how.get(state.data_path, 'not known')}: {state.proof}"
        yield Observation(kind=DATA_PATH, text=text, nodes=(state.name,))


def both(state: NodeState) -> Iterator[Observation]:
    """Rules of kube-proxy in both back ends."""
    for family, rulesets in state.rulesets.items():
        first = [rules for rules in rulesets if has_services(rules)]
        if len(first) > 1:
            evidence = tuple(cite(rules, "KUBE-SERVICES") for rules in first)
            yield Observation(
                kind=BOTH,
                text=f"IPv{family}: {' and '.join(rules.source for rules in first)}",
                nodes=(state.name,),
                evidence=evidence,
            )


def cite(rules: Ruleset, name: str) -> RuleReference:
    """The first rule of a chain of nat, as evidence."""
    chain = rules.chain(NAT, ChainName(name))
    assert chain is not None
    rule = chain.rules()[0]
    return RuleReference(rules.source, rule.line, "nat", name, rule.text)
