"""hostPorts that lead to a pod that is gone, or that an earlier rule for the same port keeps packets from.

The portmap plugin writes a chain for each pod (``CNI-DN-…``) and a jump to it, and takes both away with the
pod, unless that fails (a node that lost power, a plugin that was replaced). The first rule for a port wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from kinspect.kubeproxy.frontends import HostPort, host_ports
from kinspect.kubeproxy.names import NAT
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.cause import RuleReference
from kinspect.model.node import NodeState
from kinspect.model.packet import Address, endpoint_text
from kinspect.model.rules import ChainName, Ruleset

GONE: Final = FindingKind(
    code="KI119",
    title="hostPort of a pod that is gone",
    severity=Severity.ERROR,
    means="A rule for a hostPort leads to an address of a pod network that no pod has: the pod is gone, and its rule"
    " was left behind. Whoever connects to the port gets no answer, even if a new pod has the same hostPort: the"
    " first rule wins.",
    todo="Delete the jump and the chain that the evidence names on the listed nodes, or restart the node. If it"
    " happens again, look at the network plugin's log when a pod ends (portmap, kubelet's old hostPorts).",
    look=("iptables-save -t nat | grep -e CNI-DN- -e CNI-HOSTPORT-DNAT", "kubectl get pods -A -o wide"),
    depends=frozenset({"rules", "node files"}),
)
SHADOWED: Final = FindingKind(
    code="KI123",
    title="hostPort that another rule takes first",
    severity=Severity.ERROR,
    means="Two rules of a node are for the same hostPort. Packets meet the first one only: the pod of the second one"
    " gets nothing.",
    todo="See which of the two pods should have the port. A rule of a pod that is gone was left behind: delete it.",
    look=("iptables-save -t nat | grep -e CNI-DN- -e CNI-HOSTPORT-DNAT",),
    depends=frozenset({"rules", "node files"}),
)
KINDS: Final = (GONE, SHADOWED)

_DISPATCHERS: Final = (ChainName("CNI-HOSTPORT-DNAT"), ChainName("KUBE-HOSTPORTS"))


def stale_host_ports(
    state: NodeState, no_pod: Callable[[Address], bool], pod_known: Callable[[Address], bool]
) -> Iterator[Observation]:
    """``no_pod``: the address is of a pod network, and no pod has it; ``pod_known``: a pod has it."""
    for rulesets in state.rulesets.values():
        for rules in rulesets:
            first: dict[tuple[int, str], list[tuple[str, HostPort]]] = {}
            for found in _in_order(rules):
                earlier = first.setdefault((found.port, found.protocol), [])
                own = _own_address(found)
                before = next((other for address, other in earlier if address in ("", own)), None)
                earlier.append((own, found))
                if before is None and no_pod(found.to):
                    text = f"hostPort {_name(found)} leads to {_to(found)}, an address that no pod has"
                    yield _seen(GONE, text, state, rules, found)
                elif before is not None and before.to != found.to and pod_known(found.to):
                    text = f"hostPort {_name(found)}: the rule to {_to(found)} is never reached, behind the one to {_to(before)}"
                    yield _seen(SHADOWED, text, state, rules, before, found)


def _in_order(rules: Ruleset) -> list[HostPort]:
    """The hostPorts as packets meet them: by the order of the jumps to their chains."""
    rank: dict[str, int] = {}
    for dispatcher in _DISPATCHERS:
        for _, text in rules.lines(NAT, dispatcher):
            rank.setdefault(text.rpartition(" ")[2], len(rank))
    reached = [found for found in host_ports(rules) if found.chain in rank]
    return sorted(reached, key=lambda found: (rank[found.chain], found.line))


def _own_address(found: HostPort) -> str:
    """The address that a hostPort is limited to (hostIP), or "" for all of the node."""
    words = found.text.split()
    return words[words.index("-d") + 1] if "-d" in words else ""


def _name(found: HostPort) -> str:
    return f"{found.port}/{found.protocol.lower()}"


def _to(found: HostPort) -> str:
    return endpoint_text(found.to, found.to_port)


def _seen(kind: FindingKind, text: str, state: NodeState, rules: Ruleset, *evidence: HostPort) -> Observation:
    return Observation(
        kind=kind,
        text=text,
        nodes=(state.name,),
        ways=(f"hostPort {evidence[0].port}",),
        evidence=tuple(
            RuleReference(rules.source, each.line, NAT, each.chain, each.text) for each in evidence
        ),
    )
