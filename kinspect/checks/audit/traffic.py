"""Traffic that goes elsewhere than the API says: stale, missing, uneven, refused, unknown, taken.

What ``checks.assertions.in_sync`` finds, told apart by its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from kinspect.checks.common import cited
from kinspect.kubeproxy.names import is_kube
from kinspect.model.audit import Fact, FindingKind, Observation, Severity
from kinspect.model.cause import (
    Cause,
    EndedByRouting,
    NotServed,
    OldPolicy,
    RefusedByProxy,
    TakenFirst,
)
from kinspect.model.check import (
    Finding,
    Masqueraded,
    NotMasqueraded,
    Queued,
    Refused,
    ServiceKey,
    Uneven,
    Unexpected,
    Unhandled,
    Unmodelled,
    Unserved,
)  # fmt: skip
from kinspect.model.packet import Address, endpoint_text
from kinspect.model.traffic import Traffic

_DEPENDS: Final[frozenset[Fact]] = frozenset({"way in", "ends", "endpoints"})
_OF_SOURCES: Final[frozenset[Fact]] = _DEPENDS | {"outside source"}

STALE: Final = FindingKind(
    code="KI101",
    title="stale endpoint",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="A node's rules send a share of new connections to an address that the API does not list for the"
    " service: to a pod that is gone, or is no longer meant to get traffic. Clients time out, or reach what"
    " was taken out of service. Only rules that packets can reach count: kube-proxy leaves chains that"
    " nothing leads to behind on purpose in large clusters.",
    todo="Look at kube-proxy on the nodes named: is it running, does it reach the API, what does it log? If"
    " the finding is gone when you run this again, a change was under way.",
    look=(
        "kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=SERVICE",
        "kubectl logs -n kube-system -l k8s-app=kube-proxy --field-selector spec.nodeName=NODE",
        "iptables-save -t nat | grep ADDRESS",
    ),
    settles=True,
)
REUSED: Final = FindingKind(
    code="KI102",
    title="address of another service's pod",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="A node's rules send a share of a service's connections to an address that now belongs to another"
    " pod: the pod behind the rule is gone, and its address was given anew. Clients of one service are"
    " answered by another.",
    todo="As for a stale endpoint, and sooner: restart kube-proxy on the nodes named.",
    look=("kubectl get pods -A -o wide | grep ADDRESS", "iptables-save -t nat | grep ADDRESS"),
    settles=True,
)
UNREADY: Final = FindingKind(
    code="KI103",
    title="endpoint that should get nothing",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="A node's rules send a share of new connections to an endpoint that the API lists, but that is not"
    " ready, is terminating, or is on another node although the policy is Local.",
    todo="As for a stale endpoint: the node's kube-proxy has not followed the API.",
    look=("kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=SERVICE -o yaml",),
    settles=True,
)
MISSING: Final = FindingKind(
    code="KI104",
    title="ready endpoint gets nothing",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="An endpoint that the API lists as ready gets no new connection from a node that should send to it:"
    " its share goes to the others.",
    todo="Look at kube-proxy on the nodes named. If the finding is gone when you run this again, a change was"
    " under way.",
    look=("iptables-save -t nat | grep NAMESPACE/SERVICE",),
    settles=True,
)
UNEVEN: Final = FindingKind(
    code="KI105",
    title="uneven shares",
    severity=Severity.WARNING,
    depends=_DEPENDS,
    means="Endpoints of a service get other shares of new connections than equal ones, by more than the"
    " kernel's rounding (a probability is one of 2**31 steps). kube-proxy never writes such rules.",
    todo="See which rules of the service's chain have another probability, and who wrote them.",
    look=("iptables-save -t nat | grep 'KUBE-SVC-.*statistic'",),
    settles=True,
)
UNKNOWN: Final = FindingKind(
    code="KI106",
    title="service unknown to a node",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="A node has no rule for a way into a service that has ready endpoints: the packet passes with its"
    " destination as it is, and is lost.",
    todo="Look at kube-proxy on the nodes named; for a NodePort see also its nodePortAddresses setting.",
    look=(
        "iptables-save -t nat | grep NAMESPACE/SERVICE",
        "kubectl -n kube-system get cm kube-proxy -o yaml",
    ),
    settles=True,
)
REFUSED: Final = FindingKind(
    code="KI107",
    title="kube-proxy's rules refuse, though endpoints are ready",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="A rule of kube-proxy (has no endpoints, a firewall chain) rejects or drops connections although the"
    " API lists ready endpoints for this way in.",
    todo="Check kube-proxy on the listed nodes: it is behind, or stopped. If its rules have the endpoint and"
    " take it for another node's, compare its node name (--hostname-override) with the API's.",
    look=("iptables-save | grep 'has no'",),
    settles=True,
)
FILTERED: Final = FindingKind(
    code="KI108",
    title="another rule ends the traffic",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="Connections to a service are dropped or rejected by a rule or a policy that is not kube-proxy's: a"
    " firewall, a network plugin, a FORWARD policy of DROP.",
    todo="Decide whether that rule is meant for this traffic; the evidence names it.",
    look=("iptables-save -c -t filter | less", "kubectl get networkpolicy -A"),
)
TAKEN: Final = FindingKind(
    code="KI109",
    title="another rule takes the traffic first",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="A rule that is not kube-proxy's rewrites the destination before kube-proxy's rules are asked: the"
    " hostPort of a pod, a port published by a container engine, a redirect. The service gets nothing of it.",
    todo="Free the port: another NodePort for the service, or another hostPort for what took it.",
    look=("iptables-save -t nat | grep -e PREROUTING -e HOSTPORT -e DOCKER",),
)
UNSURE: Final = FindingKind(
    code="KI110",
    title="what becomes of it, no rule tells",
    severity=Severity.WARNING,
    depends=_DEPENDS,
    means="A program of the node decides (NFQUEUE), or a target that kinspect does not model.",
    todo="Ask the program.",
)
NOT_ROUTED: Final = FindingKind(
    code="KI111",
    title="the node's routing ends the traffic",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="The node's rules send connections on, and its routing then drops or refuses them: forwarding is off"
    " (net.ipv4.ip_forward is 0), there is no route to the endpoint, or source validation (rp_filter) drops"
    " the packets.",
    todo="Check the sysctl or the route that the finding names.",
    look=("sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding", "ip route get ADDRESS", "ip rule"),
)
NOT_THIS_ADDRESS: Final = FindingKind(
    code="KI112",
    title="NodePort not served at the node's address",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="The node's rules have the NodePort, but not for the node's internal address: kube-proxy's"
    " nodePortAddresses leaves it out. Clients that use this address are refused, or reach a process of the"
    " node that listens there.",
    todo="Check kube-proxy's nodePortAddresses on the listed nodes, or send clients to an address that it"
    " includes. If this is intended, exclude the node with --exclude-node.",
    look=(
        "kubectl -n kube-system get cm kube-proxy -o yaml",
        "iptables-save -t nat | grep 'j KUBE-NODEPORTS'",
    ),
)
EMPTY_CHAIN: Final = FindingKind(
    code="KI113",
    title="a service's chain is empty",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="The rules lead to the service's chain, and the chain has no rules: it was flushed, or a restore"
    " failed half way. Packets keep the service's address and are lost.",
    todo="Restart kube-proxy on the listed nodes, and find out what else writes iptables rules there.",
    look=("iptables-save -t nat | grep NAMESPACE/SERVICE",),
    settles=True,
)
OLD_POLICY: Final = FindingKind(
    code="KI115",
    title="node follows the old traffic policy",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="The service's traffic policy was changed, and the node's rules still follow the old one: under an old"
    " policy Local the node keeps to its own endpoints, under an old policy Cluster it sends to all.",
    todo="Check kube-proxy on the listed nodes: it is behind, or stopped.",
    look=("kubectl get service -n NAMESPACE SERVICE -o yaml | grep TrafficPolicy",),
    settles=True,
)
NO_CACHE: Final = FindingKind(
    code="KI116",
    title="address kept out of nat, and not on the node",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="A NOTRACK rule of the raw table keeps packets to the service out of nat, as NodeLocal DNSCache does"
    " for the address that it answers at, but no interface of the node has the address: the packets leave the"
    " node with the service's address and are lost.",
    todo="Check the node-local-dns pod on the listed nodes: it is not running, or its interface is gone.",
    look=("ip address show dev nodelocaldns", "iptables-save -t raw"),
)
NOT_MASQUERADED: Final = FindingKind(
    code="KI117",
    title="what crosses nodes is not masqueraded",
    severity=Severity.ERROR,
    depends=_OF_SOURCES,
    means="Connections that enter at a node and leave for an endpoint on another one keep the client's address."
    " The endpoint answers the client directly, the client does not know the answer's address and drops it:"
    " every connection that crosses fails.",
    todo="Check KUBE-MARK-MASQ and KUBE-POSTROUTING of nat on the listed nodes (are they empty?), and rules that"
    " change the packet's mark (0x4000) between them.",
    look=(
        "iptables-save -t nat | grep -e KUBE-MARK-MASQ -e KUBE-POSTROUTING",
        "iptables-save | grep -e '-j MARK'",
    ),
)
MASQUERADED: Final = FindingKind(
    code="KI118",
    title="masqueraded although policy Local keeps the client's address",
    severity=Severity.WARNING,
    depends=_OF_SOURCES,
    means="Under externalTrafficPolicy Local endpoints see the client's address. Here a rule rewrites it: a"
    " network plugin's or an agent's MASQUERADE, or a mark that something else sets.",
    todo="Exclude the traffic from the rule that the finding names, if endpoints need the client's address.",
    look=("iptables-save -t nat | grep MASQUERADE",),
)
KINDS: Final = (
    NOT_MASQUERADED,
    MASQUERADED,
    STALE,
    REUSED,
    UNREADY,
    MISSING,
    UNEVEN,
    UNKNOWN,
    REFUSED,
    FILTERED,
    TAKEN,
    UNSURE,
    NOT_ROUTED,
    NOT_THIS_ADDRESS,
    EMPTY_CHAIN,
    OLD_POLICY,
    NO_CACHE,
)

_NOT_SERVED: Final[Mapping[str, FindingKind]] = {
    "untracked": NO_CACHE,
    "empty-chain": EMPTY_CHAIN,
    "not-this-address": NOT_THIS_ADDRESS,
}


Owners: TypeAlias = Callable[[Address], Collection[ServiceKey]]
"""The services that list an address among their endpoints."""


def astray(
    traffic: Traffic, differences: Sequence[Finding], owners: Owners, *, moved: bool
) -> Iterator[Observation]:
    """What the rules do otherwise than the API says, for one class of traffic.

    ``differences`` are what ``in_sync`` found; ``moved``: the service's endpoints changed while
    they were read.
    """
    findings = [(_kind(finding, owners), finding) for finding in differences]
    consequences = _consequences(traffic, {kind for kind, _ in findings})
    for kind, finding in findings:
        if kind is None or kind in consequences or follows_from_missing_jump(finding.cause):
            continue
        assert finding.entry is not None
        text = _text(finding.cause)
        yield Observation(
            kind=kind,
            text=text,
            problem=None if text else finding.problem,
            service=finding.service,
            nodes=(finding.entry.node,),
            ways=(way_of(traffic),),
            evidence=(finding.rule,) if finding.rule else (),
            questions=finding.questions if finding.standing == "undetermined" else (),
            moved=moved and kind.settles,
        )


def follows_from_missing_jump(cause: Cause | None) -> bool:
    """Whether nothing leads to kube-proxy's rules: one finding about the node says so."""
    return isinstance(cause, NotServed) and cause.why == "no-jump"


def _text(cause: Cause | None) -> str:
    """What to say in place of the problem, if the cause says more."""
    match cause:
        case OldPolicy(follows):
            return f"its rules follow traffic policy {follows}, which is not the service's any more"
        case RefusedByProxy(knows=True):
            return (
                "kube-proxy has the endpoint of this node in its rules and takes it for another node's: its node"
                " name (hostname) differs from the API's"
            )
        case EndedByRouting(_, why):
            return f"ended by the node's routing: {why}"
        case NotServed("not-this-address", address):
            return f"its rules have the NodePort, but not for its address {address}"
        case NotServed("empty-chain", chain):
            return f"the chain {chain} is there and empty"
        case NotServed("untracked", address):
            return f"a NOTRACK rule keeps {address} out of nat, and no interface of the node has the address"
        case _:
            return ""


def _consequences(traffic: Traffic, kinds: set[FindingKind | None]) -> set[FindingKind]:
    """What follows from something else that was found: it is no finding of its own."""
    found: set[FindingKind] = set()
    if kinds - {UNEVEN}:
        found.add(UNEVEN)  # shares count where the ends are right
    if _taken(traffic) or kinds & {FILTERED, REFUSED, UNSURE, NOT_ROUTED}:
        found.add(MISSING)
    if OLD_POLICY in kinds:
        found |= {MISSING, UNREADY, MASQUERADED, NOT_MASQUERADED}
    if UNSURE in kinds:
        found |= {FILTERED, REFUSED, NOT_ROUTED}
    return found


def way_of(traffic: Traffic) -> str:
    """The way in, as people name it: without the address of the node that has the NodePort."""
    trace = traffic.trace
    if trace.via == "nodeport":
        return f"NodePort {trace.packet.dport}"
    names = {"clusterip": "cluster IP", "loadbalancer": "load balancer", "externalip": "external IP"}
    return f"{names.get(trace.via, trace.via)} {endpoint_text(trace.packet.dst, trace.packet.dport)}"


def _kind(finding: Finding, owners: Owners) -> FindingKind | None:
    cause = finding.cause
    match finding.problem:
        case Unexpected(to, backend):
            if isinstance(cause, TakenFirst):
                return TAKEN
            if isinstance(cause, OldPolicy):
                return OLD_POLICY
            if backend is not None and backend.listed:
                return UNREADY
            return REUSED if set(owners(to.address)) - {finding.service} else STALE
        case Unserved():
            return OLD_POLICY if isinstance(cause, OldPolicy) else MISSING
        case Uneven():
            return UNEVEN
        case NotMasqueraded():
            return NOT_MASQUERADED
        case Masqueraded():
            return MASQUERADED
        case Unhandled():
            return _NOT_SERVED.get(cause.why, UNKNOWN) if isinstance(cause, NotServed) else UNKNOWN
        case Refused():
            if isinstance(cause, RefusedByProxy):
                return REFUSED
            return NOT_ROUTED if isinstance(cause, EndedByRouting) else FILTERED
        case Queued() | Unmodelled():
            return UNSURE
        case _:
            return None


def _taken(traffic: Traffic) -> bool:
    """Whether all of it that is sent anywhere is sent by rules that are not kube-proxy's."""
    rules = [cited(outcome) for outcome in traffic.trace.outcomes if outcome.dnat]
    return bool(rules) and all(rule is not None and not is_kube(rule.chain) for rule in rules)
