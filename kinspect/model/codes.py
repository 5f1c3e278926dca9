"""Public codes: the names by which scripts know what kinspect finds.

A code is a promise. It stays when the class that stands for it is renamed, and is never used for
anything else. The codes of audit (``KI101``) stand with its findings, in ``checks.audit``;
``kinspect explain`` lists both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kinspect.errors import Status
from kinspect.model import answer, check, questions, whatif


@dataclass(frozen=True, slots=True)
class Code:
    """A code, where it appears, and a sentence of what it means."""

    code: str
    of: str
    means: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePage:
    """All that there is to say about a code. ``look``: commands to see it by hand.

    ``settles``: a change under way looks the same, and is gone a moment later.
    """

    code: str
    of: str
    title: str | None = None
    severity: Literal["error", "warning", "info"] | None = None
    means: str
    todo: str | None = None
    look: tuple[str, ...] = ()
    settles: bool = False


@dataclass(frozen=True, slots=True)
class CodePages:
    """What ``kinspect explain`` answers: all codes, or the one that was ``asked`` for."""

    pages: tuple[CodePage, ...]
    asked: str | None = None

    @property
    def status(self) -> Status:
        """It can always be answered."""
        return "answered"


def _codes(of: str, rows: Mapping[type, tuple[str, str]]) -> dict[type, Code]:
    return {kind: Code(code, of, means) for kind, (code, means) in rows.items()}


REMARK, PROBLEM, CLAIM = "remark of trace", "finding of check", "claim of check"
UNDETERMINED, QUESTION, CONSEQUENCE = "undetermined", "open question", "consequence of a change"

_REMARKS: Final = _codes(
    REMARK,
    {
        answer.Crossing: (
            "Crossing",
            "A share of what enters at a node leaves for endpoints on other nodes, because the traffic policy is Cluster.",
        ),
        answer.StaysLocal: (
            "StaysLocal",
            "Nothing crosses nodes, because the traffic policy is Local. Nodes without an endpoint refuse or drop.",
        ),
        answer.SourceHidden: (
            "SourceHidden",
            "Endpoints see an address of a node as the source, not the client's: it is masqueraded.",
        ),
        answer.Stale: (
            "Stale",
            "A node's rules send to an address that the API no longer lists for the service.",
        ),
        answer.Missing: ("Missing", "A node's rules do not have a ready endpoint that it should send to."),
        answer.FollowsOldPolicy: (
            "FollowsOldPolicy",
            "A node's rules follow another traffic policy than the service has now.",
        ),
        answer.TakenByRule: (
            "TakenByRule",
            "A rule that is not kube-proxy's takes the traffic before the service's rules.",
        ),
        answer.HintsKeep: (
            "HintsKeep",
            "Topology hints keep traffic on some of the endpoints, as the API says.",
        ),
        answer.NodeNameDiffers: (
            "NodeNameDiffers",
            "kube-proxy takes a node's own endpoint for another node's: its node name differs from the API's.",
        ),
        answer.NotServedHere: (
            "NotServedHere",
            "No rule of a node takes a frontend of the service: packets keep the service's address.",
        ),
        answer.NoSuchService: ("NoSuchService", "No service of the API has the frontend."),
        answer.NoSuchPod: ("NoSuchPod", "Traffic ends at an address of the pods' network that no pod has."),
        answer.Cordoned: (
            "Cordoned",
            "A cordoned node still receives a share: cordoning keeps new pods away, not traffic.",
        ),
        answer.Died: ("Died", "Rules drop, reject or queue a share of the traffic at these nodes."),
        answer.NodeLabelled: (
            "NodeLabelled",
            "A node has a label that the service's selector asks of pods. It has no effect on a node.",
        ),
        answer.WaysOut: ("WaysOut", "What to change to keep traffic from a node."),
        answer.NoEndpoint: ("NoEndpoint", "The service has no ready endpoint."),
        answer.Terminating: (
            "Terminating",
            "All endpoints are terminating. Kubernetes sends to those that still serve.",
        ),
        answer.Sticky: (
            "Sticky",
            "Client affinity: the shares are a new client's; a client that returns stays with its endpoint.",
        ),
    },
)

_PROBLEMS: Final = _codes(
    PROBLEM,
    {
        check.Reaches: (
            "Reaches",
            "Traffic reaches what should get none. The field what says whether that is a listed endpoint, an unlisted address, a terminating endpoint or a DaemonSet's pod.",
        ),
        check.Unplaced: (
            "Unplaced",
            "Traffic goes to an address, and nothing that was read says which node has it.",
        ),
        check.Queued: ("Queued", "A program on the node decides what becomes of the traffic (NFQUEUE)."),
        check.Unmodelled: (
            "Unmodelled",
            "The traffic meets a target that kinspect does not model, which may send it anywhere.",
        ),
        check.Unexpected: (
            "Unexpected",
            "Traffic goes to an address that the API does not list for this way in.",
        ),
        check.Unserved: ("Unserved", "An endpoint that should get a share gets nothing."),
        check.Uneven: ("Uneven", "An endpoint gets more or less than its fair share."),
        check.Refused: ("Refused", "Rules drop or reject traffic that has endpoints to go to."),
        check.Unhandled: (
            "Unhandled",
            "The node's rules do not know this way in: no endpoint gets the traffic.",
        ),
        check.TooFew: ("TooFew", "Fewer endpoints get traffic than the assertion asks for."),
        check.NoWay: ("NoWay", "The service has no such way in."),
        check.NotMasqueraded: (
            "NotMasqueraded",
            "Traffic crosses nodes without being masqueraded, so the answer does not return through this node.",
        ),
        check.Masqueraded: (
            "Masqueraded",
            "Traffic is masqueraded, although policy Local keeps the client's address.",
        ),
        check.StillConnected: ("StillConnected", "Connections that exist end where none should."),
        check.EnteredThere: (
            "EnteredThere",
            "Connections that exist came in by a node where none should, and end elsewhere.",
        ),
        check.ConnectionsUnplaced: (
            "ConnectionsUnplaced",
            "Connections go to an address, and it is not known on which node that is.",
        ),
        check.ConnectionsUnknown: (
            "ConnectionsUnknown",
            "The connections of a node, or some of them, are not known.",
        ),
        check.NothingChecked: (
            "NothingChecked",
            "Nothing is in the assertion's scope: no service that nodes have rules for, or no traffic to one.",
        ),
        check.Observed: ("Observed", "Something moved while it was watched."),
        check.Crosses: ("Crosses", "Traffic leaves the node that it entered."),
    },
)

_CLAIMS: Final = _codes(
    CLAIM,
    {
        check.NoTraffic: ("NoTraffic", "No new connection goes to these nodes, pods or addresses."),
        check.InSync: (
            "InSync",
            "Every node sends exactly to the endpoints that the API lists, in equal shares.",
        ),
        check.Reachable: ("Reachable", "All traffic arrives, and at least so many endpoints get some."),
        check.Balanced: ("Balanced", "Each endpoint gets its fair share, within a tolerance."),
        check.LocalOnly: ("LocalOnly", "No traffic leaves the node that it entered."),
    },
)

_CONSEQUENCES: Final = _codes(
    CONSEQUENCE,
    {
        whatif.Placeholder: (
            "Placeholder",
            "An address or port that somebody else will choose; the value shown stands for it.",
        ),
        whatif.Evicted: ("Evicted", "What a drain evicts, and what it leaves."),
        whatif.Replaced: ("Replaced", "A controller replaces a pod that goes; on which node is not known."),
        whatif.NoEffect: ("NoEffect", "A change that changes no rule, although one might expect it to."),
        whatif.NotFromPods: ("NotFromPods", "A service's EndpointSlices are not those that its pods make."),
        whatif.HintsKept: (
            "HintsKept",
            "A service's topology hints follow the CPUs of nodes; they stay as they were.",
        ),
        whatif.NoAddress: (
            "NoAddress",
            "A provider gives a service of type LoadBalancer its address: none is known yet.",
        ),
        whatif.Unscheduled: (
            "Unscheduled",
            "It is not known on which node a pod that a manifest makes will run.",
        ),
    },
)

_UNDETERMINED: Final = tuple(
    Code(code, UNDETERMINED, means)
    for code, means in (
        ("not-read", "A node, a file of it, or a list of the Kubernetes API could not be read."),
        ("nothing-audited", "Nothing is in the scope of an audit: no service that nodes have rules for."),
        ("not-sent", "No address is known that the packet could be sent from."),
        (
            "not-traced",
            "A node's rules cannot be followed: its data path is not iptables, a dump is missing, or a rule cannot be read.",
        ),
        (
            "connections-unknown",
            "A node's table of connections could not be read, or was cut: some connections may not be listed.",
        ),
        (
            "older-release",
            "A node's rules are those of a release of kube-proxy whose rules kinspect does not write.",
        ),
        (
            "node-behind",
            "A node's rules are behind the API already, so what the change would do there is not known.",
        ),
        ("unplaced", "Nothing that was read says on which node an address is."),
    )
)

_QUESTIONS: Final = tuple(Code(kind, QUESTION, asks) for kind, asks in questions.KINDS.items())

_BY_TYPE: Final[Mapping[type, Code]] = {**_REMARKS, **_PROBLEMS, **_CLAIMS, **_CONSEQUENCES}
CODES: Final[Mapping[str, Code]] = {
    entry.code: entry for entry in (*_BY_TYPE.values(), *_UNDETERMINED, *_QUESTIONS)
}
"""All of them, by code."""


def code_of(value: answer.Remark | check.Problem | check.Claim | whatif.Consequence) -> str:
    """The public code of a remark, a problem, a claim or a consequence."""
    return _BY_TYPE[type(value)].code
