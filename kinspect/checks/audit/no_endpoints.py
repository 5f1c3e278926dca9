"""Ways in that lead nowhere by the API's own word: no endpoints, none on the node, only terminating ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kinspect.checks.audit.traffic import way_of
from kinspect.checks.common import cited, endpoints_of, expected_of, may_be, sent
from kinspect.kubeproxy.endpoints import Zones, policy_of
from kinspect.model.answer import OUTSIDE
from kinspect.model.audit import Fact, FindingKind, Observation, Severity
from kinspect.model.cause import RuleReference
from kinspect.model.rules import Verdict
from kinspect.model.traffic import Traffic

_DEPENDS: Final[frozenset[Fact]] = frozenset({"way in", "ends", "endpoints"})

NONE: Final = FindingKind(
    code="KI120",
    title="no endpoints",
    severity=Severity.WARNING,
    depends=_DEPENDS,
    means="A service has no endpoint that is ready: its selector chooses no pod, or none of them is ready."
    " kube-proxy's rules refuse connections; a rule that takes the packets before them lets clients hang.",
    todo="Compare the service's selector with the labels of its pods, and look at their readiness.",
    look=("kubectl describe service -n NAMESPACE SERVICE", "kubectl get pods -n NAMESPACE --show-labels"),
)
NO_LOCAL: Final = FindingKind(
    code="KI121",
    title="no endpoint on the node, under policy Local",
    severity=Severity.WARNING,
    depends=_DEPENDS,
    means="Under policy Local a node sends to its own pods only, and these nodes have none: what enters there"
    " is dropped. That is right where the balancer in front asks the health check port and stays away, and a"
    " black hole where it does not (as with a NodePort behind a balancer of your own).",
    todo="Let the balancer check the health (healthCheckNodePort), take these nodes out of it, or run a pod"
    " on each node.",
    look=(
        "kubectl get service -n NAMESPACE SERVICE -o jsonpath='{.spec.healthCheckNodePort}'",
        "kubectl get pods -n NAMESPACE -o wide",
    ),
)
TERMINATING: Final = FindingKind(
    code="KI122",
    title="only terminating endpoints are left",
    severity=Severity.INFO,
    depends=_DEPENDS,
    means="No endpoint is ready, and some that terminate still serve: Kubernetes sends to those on purpose, also"
    " on a drained node, rather than to none.",
    todo="Nothing, if others are starting. Else see why none gets ready.",
    look=("kubectl get endpointslices -n NAMESPACE -l kubernetes.io/service-name=SERVICE -o yaml",),
)
KINDS: Final = (NONE, NO_LOCAL, TERMINATING)


def empty(traffic: Traffic, zones: Zones) -> Iterator[Observation]:
    """What is said of one class of traffic that has nowhere to go, or only there."""
    answer = expected_of(traffic, zones)[0]
    if traffic.service.other_proxy:
        return
    if answer.terminating:
        gets = any(sent(traffic, outcome) for outcome in may_be(traffic.trace.outcomes))
        fate = "get the traffic" if gets else f"get nothing: it is {_fate(traffic)}"
        yield _seen(TERMINATING, traffic, f"all endpoints left are terminating, and {fate}")
        return
    outcomes = may_be(traffic.trace.outcomes)
    if answer.endpoints or traffic.trace.port is None or not outcomes:
        return
    died = [outcome for outcome in outcomes if outcome.verdict is not Verdict.ACCEPT]
    rule = cited(died[0]) if died else None
    ready = [endpoint for endpoint in endpoints_of(traffic) if endpoint.ready]
    if not ready:
        if not any(sent(traffic, outcome) for outcome in outcomes):
            yield _seen(
                NONE,
                traffic,
                f"no endpoint is ready; what {_WHO[traffic.sources]} send is {_fate(traffic)}",
                rule,
            )
    elif not any(endpoint.node == traffic.trace.node for endpoint in ready):
        outside = traffic.trace.via in OUTSIDE
        policy = "externalTrafficPolicy" if outside else "internalTrafficPolicy"
        if policy_of(traffic.service, traffic.trace.via) == "Local":
            yield _seen(
                NO_LOCAL,
                traffic,
                f"{policy} is Local, and no endpoint is on the node: {_fate(traffic)}",
                rule,
            )


_WHO: Final = {"outside": "outside clients", "pod": "pods", "process": "the nodes"}


def _fate(traffic: Traffic) -> str:
    """What the rules do with traffic that has no endpoint."""
    fates = {
        Verdict.REJECT: "refused",
        Verdict.DROP: "dropped, and hangs",
        Verdict.ACCEPT: "sent on with the service's address, and hangs",
        Verdict.QUEUE: "handed to a program of the node",
    }
    return " or ".join(dict.fromkeys(fates[o.verdict] for o in may_be(traffic.trace.outcomes)))


def _seen(kind: FindingKind, traffic: Traffic, text: str, rule: RuleReference | None = None) -> Observation:
    return Observation(
        kind=kind,
        text=text,
        service=traffic.service.key,
        nodes=(traffic.trace.node,),
        ways=(way_of(traffic),),
        evidence=(rule,) if rule else (),
    )
