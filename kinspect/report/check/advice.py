"""What to do about a check's findings, in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from typing_extensions import assert_never

from kinspect.model.cause import (
    BehindApi,
    Cause,
    EndedByRouting,
    EndedByRule,
    HintsApply,
    NotServed,
    OldPolicy,
    RefusedByProxy,
    TakenFirst,
)
from kinspect.model.check import (
    ConnectionsUnknown,
    ConnectionsUnplaced,
    Crosses,
    EnteredThere,
    Finding,
    Masqueraded,
    NothingChecked,
    NotMasqueraded,
    NoWay,
    Observed,
    Queued,
    Reaches,
    Refused,
    Standing,
    StillConnected,
    TooFew,
    Uneven,
    Unexpected,
    Unhandled,
    Unmodelled,
    Unplaced,
    Unserved,
)  # fmt: skip
from kinspect.report.check.words import listed_some

_PRESSING: Final[tuple[Standing, ...]] = ("violated", "undetermined", "excused")


def advice(findings: Iterable[Finding]) -> list[str]:
    """Each advice once, what is about violations first; ``{nodes}`` are those where it is seen."""
    nodes: dict[str, dict[str, None]] = {}
    for finding in sorted(findings, key=lambda finding: _PRESSING.index(finding.standing)):
        for text in _advice(finding):
            seen = nodes.setdefault(text, {})
            if finding.entry is not None:
                seen[finding.entry.node] = None
    return [text.replace("{nodes}", listed_some(list(seen))) for text, seen in nodes.items()]


_BEHIND = "The rules of {nodes} differ from the API: kube-proxy there is behind, or stopped. If that lasts longer than a minute, check it there: is it running, does it reach the API?"
_OLD_POLICY = (
    "The rules of {nodes} still follow the old traffic policy: kube-proxy there is behind, or stopped."
)
_TAKEN = "A rule that is not kube-proxy's takes the traffic first at {nodes} (the rule is shown): free the port, or the address, from it."
_ENDED = "A rule that is not kube-proxy's ends the traffic at {nodes} (the rule is shown). Decide whether it is meant for this traffic."
_ROUTING = "The routing of {nodes} ends the traffic after kube-proxy's rules: check the sysctl or the route that is named."
_NAME = "kube-proxy of {nodes} knows the endpoint, and takes it for another node's: the node name that it runs with (--hostname-override) differs from the API's."
_NO_ENDPOINTS = "The rules of {nodes} refuse because they know no endpoint for this way in, though the API has one: kube-proxy there is behind, or stopped."
_RANGES = "loadBalancerSourceRanges does not admit the sender."
_NOT_HERE = "The rules of {nodes} have the NodePort, but not for this address of the node: see nodePortAddresses in kube-proxy's configuration."
_EMPTY = "A chain of kube-proxy is there and empty at {nodes}: it was flushed, or a restore failed half way. Restart kube-proxy there."
_NO_JUMP = "Nothing leads to kube-proxy's rules at {nodes}: something removed the jump to KUBE-SERVICES. Restart kube-proxy there."
_UNTRACKED = "A NOTRACK rule keeps this traffic out of nat at {nodes}, and the node does not have the address: is the node-local DNS cache running there?"
_HINTS = "Topology hints keep traffic on other endpoints. That is what the API says."
_LEAVE = "Take the pods out of the service's endpoints: change the label that the service selects them by, make them not ready, or delete them. Nothing else ends all of it."
_CORDON = (
    "Cordoning a node, or changing a node's labels, changes nothing: it keeps new pods away, not traffic."
)
_LOCAL = "externalTrafficPolicy: Local keeps what enters from outside at other nodes away. What enters at the node itself, and what pods and nodes send, still gets there."
_BALANCER = "Under policy Local, what enters at {nodes} from outside stays there: take it out of the load balancer in front."
_TERMINATING = "Only terminating endpoints are left, and Kubernetes sends to those on purpose: it ends when they do, or when new pods are ready. --allow-terminating accepts it."
_UNKNOWN = "What is not known is no pass. Each line names what it depends on; a fuller snapshot (kinspect capture) decides most of it."
_DAEMON = (
    "Pods of DaemonSets stay on a drained node by design and do not count; --include-daemonsets counts them."
)
_FEW = (
    "Under policy Local a node sends to its own endpoints only; else see which pods of the service are ready."
)
_SPREAD = "Shares differ because nodes keep to their own endpoints (policy Local), or topology hints do: spread the pods over nodes alike, or use policy Cluster."
_LOCALLY = "externalTrafficPolicy: Local and internalTrafficPolicy: Local keep a node to its own endpoints; with none, it drops."

_CLOSE = "Connections that exist end when one of their ends closes them; no rule and no kube-proxy ends TCP. Let the pods close them (delete the pods, or drain them by what serves there), or wait: --wait 10m. kinspect flows lists them."
_OUT = "Take the node out of the balancers in front first (label node.kubernetes.io/exclude-from-external-load-balancers, or deregister it there), then wait for what it forwards to end: kinspect flows --through node/NAME."
_WATCHED = "It still carries traffic: wait, and watch again. kinspect flows --to lists the connections."


_MASQUERADE = "What crosses nodes must leave with the entry node's address. Check KUBE-MARK-MASQ and KUBE-POSTROUTING at {nodes}, and rules that change the packet's mark between them."
_CLIENT = "A rule that is not kube-proxy's rewrites the client's address at {nodes}: exclude this traffic from it (ip-masq-agent's or the network plugin's settings)."


def _advice(finding: Finding) -> list[str]:
    if finding.standing == "undetermined":
        return [_UNKNOWN]
    problem, entry = finding.problem, finding.entry
    outside = entry is not None and entry.sources == "outside"
    match problem:
        case Reaches(what="daemonset") if finding.standing == "excused":
            return [_DAEMON]
        case Reaches(what="unlisted" | "unowned"):
            return [_BEHIND]
        case Unexpected() | Unserved() | Unhandled():
            return _by_cause(finding.cause)
        case Reaches(what="terminating"):
            return [_TERMINATING] if finding.standing == "violated" else []
        case Reaches():
            if finding.policy == "Local" and outside:
                return [_LEAVE, _BALANCER]
            return [_LEAVE, _CORDON, *([_LOCAL] if outside else [])]
        case Refused():
            return _by_cause(finding.cause)
        case TooFew():
            return [_FEW]
        case Uneven():
            return [_SPREAD] if finding.rule is None else [_BEHIND]
        case Crosses():
            return [_LOCALLY]
        case NotMasqueraded():
            return [_MASQUERADE]
        case Masqueraded():
            return [_CLIENT]
        case StillConnected(daemon_set=True):
            return [_DAEMON] if finding.standing == "excused" else [_CLOSE]
        case StillConnected():
            return [_CLOSE]
        case EnteredThere():
            return [] if finding.standing == "excused" else [_OUT]
        case Observed():
            return [_WATCHED]
        case (
            NothingChecked()
            | ConnectionsUnplaced()
            | ConnectionsUnknown()
            | NoWay()
            | Unplaced()
            | Queued()
            | Unmodelled()
        ):
            return []
        case _:
            assert_never(problem)


def _by_cause(cause: Cause | None) -> list[str]:
    match cause:
        case None | BehindApi():
            return [_BEHIND]
        case OldPolicy():
            return [_OLD_POLICY]
        case HintsApply():
            return [_HINTS]
        case TakenFirst():
            return [_TAKEN]
        case RefusedByProxy(why="source-ranges"):
            return [_RANGES]
        case RefusedByProxy(knows=knows):
            return [_NAME] if knows else [_NO_ENDPOINTS]
        case EndedByRule():
            return [_ENDED]
        case EndedByRouting():
            return [_ROUTING]
        case NotServed(why):
            return [_NOT_SERVED[why]]
        case _:
            assert_never(cause)


_NOT_SERVED: Final = {
    "unknown": _BEHIND,
    "no-jump": _NO_JUMP,
    "empty-chain": _EMPTY,
    "not-this-address": _NOT_HERE,
    "untracked": _UNTRACKED,
}
