"""What to do about a check's findings, in sentences."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from typing_extensions import assert_never

from kinspect.model.check import (
    ConnectionsUnknown,
    ConnectionsUnplaced,
    Crosses,
    EnteredThere,
    Finding,
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


_BEHIND = "The rules of {nodes} are not what the API says: their kube-proxy is behind, or stopped. Wait for it, or look at it there (is it running, does it reach the API?)."
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
_REFUSED = "See the rule that ends it: without endpoints kube-proxy rejects, under policy Local without one of the node's own it drops; else it is a firewall's."
_FEW = (
    "Under policy Local a node sends to its own endpoints only; else see which pods of the service are ready."
)
_SPREAD = "Shares differ because nodes keep to their own endpoints (policy Local), or topology hints do: spread the pods over nodes alike, or use policy Cluster."
_LOCALLY = "externalTrafficPolicy: Local and internalTrafficPolicy: Local keep a node to its own endpoints; with none, it drops."

_CLOSE = "Connections that exist end when one of their ends closes them; no rule and no kube-proxy ends TCP. Let the pods close them (delete the pods, or drain them by what serves there), or wait: --wait 10m. kinspect flows lists them."
_OUT = "Take the node out of the balancers in front first (label node.kubernetes.io/exclude-from-external-load-balancers, or deregister it there), then wait for what it forwards to end: kinspect flows --through node/NAME."
_WATCHED = "It still carries traffic: wait, and watch again. kinspect flows --to lists the connections."


def _advice(finding: Finding) -> list[str]:
    if finding.standing == "undetermined":
        return [_UNKNOWN]
    problem, entry = finding.problem, finding.entry
    outside = entry is not None and entry.sources == "outside"
    match problem:
        case Reaches(what="daemonset") if finding.standing == "excused":
            return [_DAEMON]
        case Reaches(what="unlisted") | Unexpected() | Unserved():
            return [_BEHIND]
        case Reaches(what="terminating"):
            return [_TERMINATING] if finding.standing == "violated" else []
        case Reaches():
            if finding.policy == "Local" and outside:
                return [_LEAVE, _BALANCER]
            return [_LEAVE, _CORDON, *([_LOCAL] if outside else [])]
        case Unhandled():
            return [_BEHIND]
        case Refused():
            return [_REFUSED]
        case TooFew():
            return [_FEW]
        case Uneven():
            return [_SPREAD] if finding.rule is None else [_BEHIND]
        case Crosses():
            return [_LOCALLY]
        case StillConnected(daemon_set=True):
            return [_DAEMON] if finding.standing == "excused" else [_CLOSE]
        case StillConnected():
            return [_CLOSE]
        case EnteredThere():
            return [] if finding.standing == "excused" else [_OUT]
        case Observed():
            return [_WATCHED]
        case ConnectionsUnplaced() | ConnectionsUnknown() | NoWay() | Unplaced() | Queued() | Unmodelled():
            return []
        case _:
            assert_never(problem)
