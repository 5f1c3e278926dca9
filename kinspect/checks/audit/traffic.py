"""Traffic that goes elsewhere than the API says: stale, missing, uneven, refused, unknown, taken.

What ``checks.assertions.in_sync`` finds, told apart by its cause.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, TypeAlias

from kinspect.checks.common import cited
from kinspect.kubeproxy.names import is_kube
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.check import (
    Finding,
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

STALE: Final = FindingKind(
    code="KI101",
    title="stale endpoint",
    severity=Severity.ERROR,
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
    means="A rule of kube-proxy (has no endpoints, a firewall chain) rejects or drops connections although the"
    " API lists ready endpoints for this way in.",
    todo="Look at kube-proxy on the nodes named: it does not know of the endpoints yet, or no longer hears.",
    look=("iptables-save | grep 'has no'",),
    settles=True,
)
FILTERED: Final = FindingKind(
    code="KI108",
    title="another rule ends the traffic",
    severity=Severity.ERROR,
    means="Connections to a service are dropped or rejected by a rule or a policy that is not kube-proxy's: a"
    " firewall, a network plugin, a FORWARD policy of DROP.",
    todo="Decide whether that rule is meant for this traffic; the evidence names it.",
    look=("iptables-save -c -t filter | less", "kubectl get networkpolicy -A"),
)
TAKEN: Final = FindingKind(
    code="KI109",
    title="another rule takes the traffic first",
    severity=Severity.ERROR,
    means="A rule that is not kube-proxy's rewrites the destination before kube-proxy's rules are asked: the"
    " hostPort of a pod, a port published by a container engine, a redirect. The service gets nothing of it.",
    todo="Free the port: another NodePort for the service, or another hostPort for what took it.",
    look=("iptables-save -t nat | grep -e PREROUTING -e HOSTPORT -e DOCKER",),
)
UNSURE: Final = FindingKind(
    code="KI110",
    title="what becomes of it, no rule tells",
    severity=Severity.WARNING,
    means="A program of the node decides (NFQUEUE), or a target that kinspect does not model.",
    todo="Ask the program.",
)
KINDS: Final = (STALE, REUSED, UNREADY, MISSING, UNEVEN, UNKNOWN, REFUSED, FILTERED, TAKEN, UNSURE)


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
        if kind is None or kind in consequences:
            continue
        assert finding.entry is not None
        yield Observation(
            kind=kind,
            problem=finding.problem,
            service=finding.service,
            nodes=(finding.entry.node,),
            ways=(way_of(traffic),),
            evidence=(finding.rule,) if finding.rule else (),
            questions=finding.questions if finding.standing == "undetermined" else (),
            moved=moved and kind.settles,
        )


def _consequences(traffic: Traffic, kinds: set[FindingKind | None]) -> set[FindingKind]:
    """What follows from something else that was found: it is no finding of its own."""
    found: set[FindingKind] = set()
    if kinds - {UNEVEN}:
        found.add(UNEVEN)  # shares count where the ends are right
    if _taken(traffic) or kinds & {FILTERED, REFUSED, UNSURE}:
        found.add(MISSING)
    if UNSURE in kinds:
        found |= {FILTERED, REFUSED}
    return found


def way_of(traffic: Traffic) -> str:
    """The way in, as people name it: without the address of the node that has the NodePort."""
    trace = traffic.trace
    if trace.via == "nodeport":
        return f"NodePort {trace.packet.dport}"
    names = {"clusterip": "cluster IP", "loadbalancer": "load balancer", "externalip": "external IP"}
    return f"{names.get(trace.via, trace.via)} {endpoint_text(trace.packet.dst, trace.packet.dport)}"


def _kind(finding: Finding, owners: Owners) -> FindingKind | None:
    foreign = finding.rule is not None and not is_kube(finding.rule.chain)
    match finding.problem:
        case Unexpected(to, backend):
            if foreign:
                return TAKEN
            if backend is not None and backend.listed:
                return UNREADY
            return REUSED if set(owners(to.address)) - {finding.service} else STALE
        case Unserved():
            return MISSING
        case Uneven():
            return UNEVEN
        case Unhandled():
            return UNKNOWN
        case Refused():
            return FILTERED if foreign or finding.rule is None else REFUSED
        case Queued() | Unmodelled():
            return UNSURE
        case _:
            return None


def _taken(traffic: Traffic) -> bool:
    """Whether all of it that is sent anywhere is sent by rules that are not kube-proxy's."""
    rules = [cited(outcome) for outcome in traffic.trace.outcomes if outcome.dnat]
    return bool(rules) and all(rule is not None and not is_kube(rule.chain) for rule in rules)
