"""All wording of checks: verdicts, problems, what to do. Nothing here decides; it only says."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from typing_extensions import assert_never

from kinspect.model.gate import (
    Aim,
    CheckAnswer,
    Cited,
    Crosses,
    Finding,
    Judged,
    NoneDrained,
    NoRules,
    Note,
    NothingIgnored,
    NoTraffic,
    NoWay,
    PodsUnread,
    Problem,
    Queued,
    Reaches,
    Refused,
    ServiceKey,
    ToAddress,
    ToNode,
    TooFew,
    ToPod,
    Uneven,
    Unexpected,
    Unhandled,
    Unplaced,
    Unserved,
    Vacuous,
)  # fmt: skip
from kinspect.model.rules import Verdict
from kinspect.model.traffic import Sources
from kinspect.report.words import VIA_NAMES, backend_text, bounded, listed, port_text, safe, share_text

SOURCE_NAMES: Final[dict[Sources, str]] = {
    "outside": "clients outside",
    "pod": "pods",
    "process": "nodes",
}
VERDICTS: Final = {"holds": "PASSED", "violated": "FAILED", "undetermined": "UNDETERMINED"}

_ENDED: Final = {
    Verdict.DROP: "dropped",
    Verdict.REJECT: "rejected",
    Verdict.QUEUE: "queued",
    Verdict.ACCEPT: "accepted",
}


def count(number: int, noun: str) -> str:
    """``1 service``, ``2 services``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def key_text(key: ServiceKey) -> str:
    """``default/web``."""
    return safe("/".join(key))


def aim_text(aim: Aim) -> str:
    """An aim as it is typed."""
    match aim:
        case ToNode(name):
            return f"node/{name}"
        case ToPod(name, namespace):
            return f"pod/{namespace}/{name}" if namespace else f"pod/{name}"
        case ToAddress(address):
            return str(address)
        case _:
            assert_never(aim)


def verdict_text(judged: Judged, standing: Literal["holds", "violated", "undetermined"]) -> str:
    """The first line: what became of an assertion, in words."""
    services = count(len(judged.services), "service")
    claim, name = judged.assertion.claim, safe(judged.assertion.name)
    if isinstance(claim, NoTraffic) and claim.to is None:
        if not judged.nodes and standing == "holds":
            return f"{name}: no node is drained, so there is nothing to check"
        name = f"{name} ({safe(listed_some(judged.nodes))})"
    if standing == "holds":
        excused = len({f.service for f in judged.findings})
        return (
            f"{name}: holds for all traffic of {services}{f', {excused} of them excused' if excused else ''}"
        )
    if standing == "undetermined":
        return f"{name}: no violation found in {services}, but not all could be known"
    bad = len({finding.service for finding in judged.findings if finding.standing == "violated"})
    return f"{name}: does not hold for {bad:,} of {services}"


def overall_text(answer: CheckAnswer) -> str:
    """The verdict over several assertions."""
    total = len(answer.judged)
    standings = [answer.standing(judged) for judged in answer.judged]
    parts = [
        f"{standings.count(standing)} {word}"
        for standing, word in (("violated", "not held"), ("undetermined", "undetermined"), ("holds", "held"))
        if standing in standings
    ]
    return f"{count(total, 'assertion')}: {', '.join(parts)}"


def problem_text(problem: Problem) -> str:
    """A problem in one line, without its ways in."""
    match problem:
        case Reaches(to, backend, share, what):
            why = {
                "endpoint": "",
                "unlisted": ", which the API does not list for the service",
                "terminating": ", terminating like all that are left",
                "daemonset": ", of a DaemonSet",
            }[what]
            return f"{bounded(share)} goes to {_end(to, backend_text(backend))}{why}"
        case Unplaced(to, share):
            return f"{bounded(share)} goes to {safe(to)}, and nothing read says which node that is on"
        case Queued(share):
            return f"{bounded(share)} is handed to a program of the node (NFQUEUE), which decides"
        case Unexpected(to, backend, share):
            return f"{bounded(share)} goes to {_end(to, backend_text(backend))}, which the API does not say"
        case Unserved(to, backend):
            return f"nothing goes to {_end(to, backend_text(backend))}, which the API says"
        case Uneven(to, backend, share, fair):
            return f"{bounded(share)} goes to {_end(to, backend_text(backend))}; its fair share is {share_text(fair)}"
        case Refused(verdict, share):
            return f"{bounded(share)} is {_ENDED[verdict]}"
        case Unhandled(share):
            return f"{bounded(share)} is sent to no endpoint: the node's rules do not know this way in"
        case TooFew(reached, wanted):
            return f"{reached} of at least {wanted} endpoints get traffic"
        case NoWay():
            return "there is no such way into the service"
        case Crosses(to, backend, share, node):
            where = "" if node else ", on no node of the cluster"
            return f"{bounded(share)} leaves for {_end(to, backend_text(backend))}{where}"
        case _:
            assert_never(problem)


def _end(to: str, backend: str) -> str:
    return f"{safe(to)}, {backend}" if backend else safe(to)


def finding_text(finding: Finding) -> str:
    """A finding in one line, its way in included."""
    entry = finding.entry
    if entry is None:
        return problem_text(finding.problem)
    port = f" (port {port_text(entry.port)})" if entry.port else ""
    return (
        f"{VIA_NAMES[entry.via]} {entry.frontend}{port} at {safe(entry.node)}, from {SOURCE_NAMES[entry.sources]}:"
        f" {problem_text(finding.problem)}"
    )


def rule_text(rule: Cited) -> str:
    """Where a rule is and its words."""
    return f"{place_text(rule)}  {safe(rule.text)}"


def place_text(rule: Cited) -> str:
    """``node1/iptables-save.txt:97``."""
    return safe(rule.source if rule.line is None else f"{rule.source}:{rule.line}")


def names_text(names: Sequence[str], most: int | None) -> str:
    """Names of nodes; beyond ``most`` they are counted."""
    if most is None or len(names) <= most:
        return safe(", ".join(names))
    return safe(f"{', '.join(names[:most])} and {len(names) - most} more")


def sources_text(sources: Sequence[Sources]) -> str:
    """``outside clients, pods``."""
    return ", ".join(SOURCE_NAMES[source] for source in sources)


def note_text(note: Note) -> str:
    """A note, as a line on standard error."""
    match note:
        case NoneDrained():
            return "no node is drained: none is cordoned (spec.unschedulable, or its taint); check no-traffic --to node/NAME names one"
        case Vacuous(name):
            return f"{name}: no service is in its scope: it holds of nothing"
        case NoRules(key):
            return f"{'/'.join(key)}: nodes have no rules for it (headless, or a name in DNS): nothing was checked"
        case NothingIgnored(pattern):
            return f"no service is {pattern}, which was to be ignored"
        case PodsUnread():
            return "pods were not read: those of DaemonSets count like others"
        case _:
            assert_never(note)


def advice(findings: Iterable[Finding]) -> list[str]:
    """What to do about them: each advice once, the most pressing first."""
    found: dict[str, None] = {}
    nodes: dict[str, dict[str, None]] = {}
    for finding in findings:
        for text in _advice(finding):
            found[text] = None
            if finding.entry is not None:
                nodes.setdefault(text, {})[finding.entry.node] = None
    return [
        text.replace("{nodes}", safe(listed_some(list(nodes.get(text, {"the nodes": None})))))
        for text in _ADVICE_ORDER
        if text in found
    ]


def listed_some(names: Sequence[str], most: int = 5) -> str:
    """``a, b and c``, or ``a, b and 7 more``."""
    return (
        listed(names)
        if len(names) <= most
        else f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"
    )


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
_ADVICE_ORDER: Final = (_BEHIND, _LEAVE, _CORDON, _LOCAL, _BALANCER, _TERMINATING, _REFUSED, _SPREAD, _LOCALLY, _DAEMON, _UNKNOWN)  # fmt: skip


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
        case NoWay() | Unplaced() | Queued():
            return []
        case _:
            assert_never(problem)
