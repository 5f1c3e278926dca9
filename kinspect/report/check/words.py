"""All wording of checks: verdicts, problems, what to do. Nothing here decides; it only says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from typing_extensions import assert_never

from kinspect.model.cause import RuleReference
from kinspect.model.check import (
    AssertionResult,
    CheckAnswer,
    ConnectionsUnknown,
    ConnectionsUnplaced,
    Crosses,
    EnteredThere,
    Existing,
    Finding,
    Masqueraded,
    NoneDrained,
    NoRules,
    Note,
    NothingChecked,
    NothingIgnored,
    NotMasqueraded,
    NoTraffic,
    NoTrafficTo,
    NoWay,
    Observed,
    PodsUnread,
    Problem,
    Queued,
    Reaches,
    Refused,
    ServiceKey,
    StillConnected,
    StillWayIn,
    ToAddress,
    ToNode,
    TooFew,
    ToPod,
    Uneven,
    Unexpected,
    Unhandled,
    Unmodelled,
    Unplaced,
    Unserved,
)  # fmt: skip
from kinspect.model.flows import FlowsRow
from kinspect.model.packet import SocketAddress
from kinspect.model.rules import Verdict
from kinspect.model.traffic import SenderClass
from kinspect.report.flows.words import (
    connections_text,
    counted_text,
    endpoint_text,
    seconds_text,
    stale_text,
)
from kinspect.report.words import VIA_NAMES, backend_text, bounded, listed, port_text
from kinspect.sanitise import safe, safe_name

SOURCE_NAMES: Final[dict[SenderClass, str]] = {
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


def key_text(key: ServiceKey | None) -> str:
    """``default/web``."""
    if key is None:
        return "no service"
    return "/".join(map(safe_name, key))


def aim_text(aim: NoTrafficTo) -> str:
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


def verdict_text(answer: CheckAnswer, judged: AssertionResult) -> str:
    """The first line: what became of an assertion, in words; what holds says what that covers."""
    standing = answer.standing(judged)
    services = count(len(judged.services), "service")
    claim, name = judged.assertion.claim, safe(judged.assertion.name)
    if isinstance(claim, NoTraffic) and claim.to is None:
        if judged.moot:
            return f"{name}: no node is drained, so there is nothing to check"
        name = f"{name} ({listed_some(judged.nodes)})" if judged.nodes else name
    if standing == "holds":
        excused = len({f.service for f in judged.findings})
        what = "new connections to"
        if isinstance(claim, NoTraffic) and claim.established:
            what = "new connections and those that exist, to"
        excuse = f", {excused} of them excused" if excused else ""
        rules = f", by the rules of {listed_some(answer.nodes)}" if answer.nodes else ""
        return f"{name}: holds for {what} {services}{excuse}{rules}"
    if standing == "undetermined":
        return f"{name}: no violation found in {services}, but not all could be known"
    named = {f.service for f in judged.findings if f.standing == "violated" and f.service is not None}
    bad = len(named)
    if not bad:
        return f"{name}: does not hold, for connections that go through no service"
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
                "unowned": ", for a service that the API does not have",
                "terminating": ", terminating like all that are left",
                "daemonset": ", of a DaemonSet",
            }[what]
            return f"{bounded(share)} goes to {_end(to, backend_text(backend))}{why}"
        case Unplaced(to, share):
            return f"{bounded(share)} goes to {to}, and nothing read says which node that is on"
        case Queued(share):
            return f"{bounded(share)} is handed to a program of the node (NFQUEUE), which decides"
        case Unmodelled(share):
            return f"{bounded(share)} meets a target that kinspect does not model, which may send it anywhere"
        case Unexpected(to, backend, share, owned):
            why = (
                "which the API does not list as an endpoint"
                if owned
                else "for a service that the API does not have"
            )
            return f"{bounded(share)} goes to {_end(to, backend_text(backend))}, {why}"
        case Unserved(to, backend):
            return f"nothing goes to {_end(to, backend_text(backend))}, though by the API it should get its share"
        case Uneven(to, backend, share, fair):
            return f"{bounded(share)} goes to {_end(to, backend_text(backend))}; its fair share is {bounded((fair, fair))}"
        case Refused(verdict, share):
            return f"{bounded(share)} is {_ENDED[verdict]}"
        case Unhandled(share):
            return f"{bounded(share)} is sent to no endpoint: the node's rules do not know this way in"
        case NotMasqueraded(to, backend, share):
            return f"{bounded(share)} crosses to {_end(to, backend_text(backend))} without being masqueraded: the answer does not return through this node, and the client drops it"
        case Masqueraded(to, backend, share):
            return f"{bounded(share)} reaches {_end(to, backend_text(backend))} masqueraded, although policy Local keeps the client's address"
        case TooFew(reached, wanted):
            return f"{reached} of at least {wanted} endpoints get traffic"
        case StillConnected(row, daemon_set):
            why = ", of a DaemonSet" if daemon_set else ""
            return f"{_exist(row)} at {endpoint_text(row)}{why}: {_rest(row)}"
        case EnteredThere(row, own):
            nodes = listed([safe_name(node) for node, _ in row.entered])
            who = f"opened on {nodes} itself" if own else f"came in by {nodes}"
            return f"{connections_text(row.connections)} {who} and end at {endpoint_text(row)}: {_rest(row)}"
        case ConnectionsUnplaced(to, connections):
            return (
                f"{connections_text(connections)} to {safe(to)}, and nothing read says which node that is on"
            )
        case ConnectionsUnknown(node, why):
            return f"{safe_name(node)}: {safe(why)}"
        case NothingChecked():
            return "no service that nodes have rules for, or no traffic to one, is in its scope: nothing was checked"
        case Observed():
            return _observed_text(problem)
        case NoWay():
            return "there is no such way into the service"
        case Crosses(to, backend, share, node):
            where = "" if node else ", on no node of the cluster"
            return f"{bounded(share)} leaves for {_end(to, backend_text(backend))}{where}"
        case _:
            assert_never(problem)


def _exist(row: FlowsRow) -> str:
    return f"{connections_text(row.connections)} still {'ends' if row.connections == 1 else 'end'}"


def _still(number: int | None) -> str:
    if not number:
        return "no connection that exists ends there"
    return (
        f"{connections_text(number)} that exist still end there"
        if number > 1
        else "1 connection still ends there"
    )


def _rest(row: FlowsRow) -> str:
    """States, entry nodes and idle time of connections."""
    parts = [counted_text(row.states), f"entered at {counted_text(row.entered)}"]
    if row.idle is not None:
        parts.append(f"idle for up to {seconds_text(row.idle)}")
    if row.stale:
        parts.append(stale_text(row.stale))
    return "; ".join(parts)


_OBSERVED: Final = {
    "opened": "{amount} opened at {node} to {to} while it was watched",
    "packets": "{amount} went over connections of {node} to {to} while it was watched",
    "refreshed": "{amount} of {node} to {to} had packets while it was watched",
    "counted": "rules of {node} sent {amount} to {to} while it was watched",
    "unseen": "whether {amount} of {node} to {to} had packets is not known: {node} does not count them"
    " (net.netfilter.nf_conntrack_acct)",
}


def _observed_text(problem: Observed) -> str:
    noun = "packet" if problem.what == "packets" else "connection"
    return _OBSERVED[problem.what].format(
        amount=count(problem.amount, noun), node=safe_name(problem.node), to=safe(problem.to)
    )


def _end(to: SocketAddress, backend: str) -> str:
    return f"{to}, {backend}" if backend else str(to)


def finding_text(finding: Finding) -> str:
    """A finding in one line, its way in included."""
    entry = finding.entry
    if entry is None:
        return problem_text(finding.problem)
    port = f" (port {port_text(entry.port)})" if entry.port else ""
    return (
        f"{VIA_NAMES[entry.via]} {entry.frontend}{port} at {safe_name(entry.node)}, from {SOURCE_NAMES[entry.sources]}:"
        f" {problem_text(finding.problem)}"
    )


def rule_text(rule: RuleReference) -> str:
    """Where a rule is and its words."""
    return f"{place_text(rule)}  {safe(rule.text)}"


def place_text(rule: RuleReference) -> str:
    """``node1/iptables-save.txt:97``."""
    return safe(rule.source if rule.line is None else f"{rule.source}:{rule.line}")


def names_text(names: Sequence[str], most: int | None) -> str:
    """Names of nodes; beyond ``most`` they are counted."""
    shown = ", ".join(map(safe_name, names[:most]))
    if most is None or len(names) <= most:
        return shown
    return f"{shown} and {len(names) - most} more"


def sources_text(sources: Sequence[SenderClass]) -> str:
    """``outside clients, pods``."""
    return ", ".join(SOURCE_NAMES[source] for source in sources)


def note_text(note: Note) -> str:
    """A note, as a line on standard error."""
    match note:
        case NoneDrained():
            return "no node is drained: none is cordoned or has a taint that means it; check no-traffic --to node/NAME names one"
        case NoRules(key):
            return f"{'/'.join(key)}: nodes have no rules for it (headless, or a name in DNS): nothing was checked"
        case Existing(name, None):
            return (
                f"{safe(name)}: it is about new connections; those that exist were not read (--established)"
            )
        case Existing(name, ends, entered):
            more = f", and {entered:,} entered there and end elsewhere" if entered else ""
            return (
                f"{safe(name)}: it is about new connections; {_still(ends)}{more} (--established counts them)"
            )
        case StillWayIn(nodes, services, unlabelled):
            names = listed_some(nodes)
            text = (
                f"{names} still {'takes' if len(nodes) == 1 else 'take'} in what balancers send to NodePorts and"
                f" load-balancer addresses, for other nodes' pods: {listed_some(['/'.join(key) for key in services])}"
            )
            if unlabelled:
                text += (
                    f"; {listed_some(unlabelled)} without the label"
                    " node.kubernetes.io/exclude-from-external-load-balancers, so cloud balancers keep sending there"
                )
            return text
        case NothingIgnored(pattern):
            return f"no service is {pattern}, which was to be ignored"
        case PodsUnread():
            return "pods were not read: those of DaemonSets count like others"
        case _:
            assert_never(note)


def listed_some(names: Sequence[str], most: int = 5) -> str:
    """``a, b and c``, or ``a, b and 7 more``."""
    return (
        listed(names)
        if len(names) <= most
        else f"{', '.join(map(safe_name, names[: most - 1]))} and {len(names) - most + 1} more"
    )
