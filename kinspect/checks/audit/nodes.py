"""Nodes whose rules tell little: not read, or not what kube-proxy works by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from kinspect.kubeproxy.names import NAT, has_services
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.cause import RuleReference
from kinspect.model.node import DataPath, NodeState
from kinspect.model.rules import ChainName, Ruleset

UNREAD: Final = FindingKind(
    code="KI201",
    title="node not read",
    severity=Severity.WARNING,
    depends=frozenset({"node files", "rules"}),
    means="Nothing is known of the rules of a node: it did not answer, or its dump could not be read.",
    todo="See why, and audit it again; --exclude-node leaves a node out.",
)
DATA_PATH: Final = FindingKind(
    code="KI202",
    title="data path is not iptables",
    severity=Severity.WARNING,
    depends=frozenset({"node files", "rules"}),
    means="kube-proxy works by IPVS or nftables there, or something else (an eBPF data path) does its work."
    " kinspect follows iptables rules: it can say nothing of services there.",
    todo="Where it is meant so, leave the node out with --exclude-node. Where only some nodes are like this, find out"
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
FLUSHED: Final = FindingKind(
    code="KI204",
    title="no rules of kube-proxy, though other nodes have them",
    severity=Severity.ERROR,
    depends=frozenset({"node files", "rules"}),
    means="The node has no rules of kube-proxy while other nodes of the cluster do: they were flushed (a firewall"
    " that restarts does that), or kube-proxy is not running there. Services cannot be reached through the"
    " node, nor by its pods.",
    todo="Check whether kube-proxy runs on the listed nodes, and restart it: it writes its rules anew. If the nodes"
    " are meant to have another data path, exclude them with --exclude-node.",
    look=(
        "kubectl get pods -n kube-system -l k8s-app=kube-proxy -o wide",
        "iptables-save | grep -c KUBE",
    ),
    root=True,
)
SILENT: Final = FindingKind(
    code="KI205",
    title="kube-proxy does not answer",
    severity=Severity.WARNING,
    depends=frozenset({"node files", "rules"}),
    means="kube-proxy's status port (127.0.0.1:10249) did not answer on the node, and did on others: kube-proxy is"
    " not running there, or has another metrics address. Its rules stay as they were when it stopped.",
    todo="Check whether kube-proxy runs on the listed nodes.",
    look=(
        "curl http://127.0.0.1:10249/proxyMode",
        "kubectl get pods -n kube-system -l k8s-app=kube-proxy -o wide",
    ),
)
KINDS: Final = (UNREAD, DATA_PATH, BOTH, FLUSHED, SILENT)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a node says about its kube-proxy."""

    name: str
    data_path: DataPath
    proof: str
    answers: bool | None  # its status port; None: it was not asked


def standing(state: NodeState) -> Standing:
    """What a node says about its kube-proxy, to be compared with the others."""
    return Standing(state.name, state.data_path, state.proof, state.proxy_answers)


def unread(names: Iterable[str]) -> Iterator[Observation]:
    """Nodes of which nothing is known; why is said with what was not determined."""
    for node in names:
        yield Observation(kind=UNREAD, text="none of its rules were read", nodes=(node,))


def kube_proxies(nodes: Sequence[Standing]) -> Iterator[Observation]:
    """Nodes whose services are not kept by iptables, and those whose kube-proxy does not answer."""
    some_iptables = any(node.data_path == "iptables" for node in nodes)
    some_answer = any(node.answers for node in nodes)
    for node in nodes:
        if node.data_path == "none" and some_iptables:
            text = "no rules of kube-proxy: flushed, or kube-proxy is not running"
            yield Observation(kind=FLUSHED, text=text, nodes=(node.name,))
        elif node.data_path != "iptables":
            how = {"ipvs": "IPVS", "nftables": "nftables", "none": "no rules of kube-proxy"}
            text = f"{how.get(node.data_path, 'not known')}: {node.proof}"
            yield Observation(kind=DATA_PATH, text=text, nodes=(node.name,))
        if some_answer and node.answers is False:
            text = "its status port does not answer: kube-proxy is stopped, or listens elsewhere"
            yield Observation(kind=SILENT, text=text, nodes=(node.name,))


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
