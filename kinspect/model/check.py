"""What is asserted about traffic, and what was found that speaks against it.

An assertion is a claim about a scope. A finding is one problem of one entry, with its standing:
``violated`` (the claim does not hold), ``undetermined`` (it may not hold: something is not known)
or ``excused`` (it is so on purpose, and the caller accepts it).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, TypeAlias

import msgspec

from kinspect.errors import Status
from kinspect.model.answer import Bounds, Via
from kinspect.model.cause import Cause, RuleReference
from kinspect.model.cluster import EndpointOwner, ServicePort, TrafficPolicy
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined
from kinspect.model.flows import FlowsRow
from kinspect.model.packet import Address, Family, SocketAddress
from kinspect.model.questions import Question
from kinspect.model.rules import Verdict
from kinspect.model.traffic import SenderClass

ServiceKey: TypeAlias = tuple[str, str]
Standing = Literal["violated", "undetermined", "excused"]


# What can be claimed.


class ToNode(msgspec.Struct, frozen=True):
    """Endpoints on a node."""

    name: str


class ToPod(msgspec.Struct, frozen=True):
    """A pod; without a namespace, of the one in use."""

    name: str
    namespace: str | None = None


class ToAddress(msgspec.Struct, frozen=True):
    """Whatever has this address."""

    address: Address


NoTrafficTo: TypeAlias = ToNode | ToPod | ToAddress


class NoTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing new is sent there; ``to`` None: to endpoints on any drained node.

    ``taints``: keys of taints that mean drained, besides those that always do. ``established``: no
    connection that exists ends there, or entered there.
    """

    to: tuple[NoTrafficTo, ...] | None = None
    taints: tuple[str, ...] = ()
    established: bool = False
    include_daemonsets: bool = False
    allow_terminating: bool = False


class Avoided(msgspec.Struct, frozen=True):
    """What ``NoTraffic`` means in one cluster: what should get nothing."""

    nodes: frozenset[str] = frozenset()
    pods: frozenset[tuple[str, str]] = frozenset()
    addresses: frozenset[Address] = frozenset()


class InSync(msgspec.Struct, frozen=True):
    """Every node sends exactly to the endpoints that the API says, in equal shares."""


class Reachable(msgspec.Struct, frozen=True):
    """All traffic arrives, and at least so many endpoints get some."""

    at_least: int = 1


class Balanced(msgspec.Struct, frozen=True):
    """With all nodes entered alike, each endpoint gets its fair share, give or take this part of it."""

    tolerance: Fraction


class LocalOnly(msgspec.Struct, frozen=True):
    """Nothing leaves the node that it entered at."""


Claim: TypeAlias = NoTraffic | InSync | Reachable | Balanced | LocalOnly


class ServicePattern(msgspec.Struct, frozen=True):
    """Services by namespace and name, where ``*`` stands for any text; perhaps one port of them."""

    namespace: str | None  # None: the one in use
    name: str
    port: str | None = None  # its name or number

    @property
    def open(self) -> bool:
        """Whether it may be of any number of services."""
        return "*" in f"{self.namespace}{self.name}"

    def matches(self, key: ServiceKey, namespace: str) -> bool:
        """Whether a service is meant; ``namespace`` is the one in use."""
        own = namespace if self.namespace is None else self.namespace
        return _like(key[0], own) and _like(key[1], self.name)

    def __str__(self) -> str:
        return self.name if self.namespace is None else f"{self.namespace}/{self.name}"


def _like(text: str, pattern: str) -> bool:
    """Whether a text is the pattern, ``*`` standing for any text; one pass, however many stars."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == first
    *middle, last = rest
    if not text.startswith(first) or len(text) < len(first) + len(last) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What an assertion is about; what is empty stands for all."""

    services: tuple[ServicePattern, ...] = ()
    ignore: tuple[ServicePattern, ...] = ()
    vias: tuple[Via, ...] = ()
    sources: tuple[SenderClass, ...] = ()
    nodes: tuple[str, ...] = ()  # where the traffic enters


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """A claim about a scope, with the name that people know it by."""

    name: str
    claim: Claim
    scope: Scope = msgspec.field(default_factory=Scope)
    source: str | None = None  # file and line, where a file asserts it


# What is found.


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """Where traffic comes in: one class of sources, one way in, one node."""

    service: ServiceKey
    port: ServicePort | None
    via: Via
    sources: SenderClass
    node: str
    client: Address  # who stands for the class
    frontend: SocketAddress
    family: Family


class Reaches(msgspec.Struct, frozen=True):
    """Traffic gets where none should: to a ready endpoint, to an address the API does not list, and so on."""

    to: SocketAddress
    backend: EndpointOwner | None
    share: Bounds
    what: Literal["endpoint", "unlisted", "unowned", "terminating", "daemonset"]


class Unplaced(msgspec.Struct, frozen=True):
    """Traffic goes to an address of which nobody says on which node it is."""

    to: SocketAddress
    share: Bounds


class Queued(msgspec.Struct, frozen=True):
    """A program of the node decides what becomes of it (NFQUEUE)."""

    share: Bounds


class Unmodelled(msgspec.Struct, frozen=True):
    """A target that kinspect does not model may do anything with it, send it there too."""

    share: Bounds


class Unexpected(msgspec.Struct, frozen=True):
    """The rules send to an address that the API does not say for this way in."""

    to: SocketAddress
    backend: EndpointOwner | None
    share: Bounds
    owned: bool = True  # False: the API has no such service, or it has no such frontend


class Unserved(msgspec.Struct, frozen=True):
    """An endpoint that the API says gets nothing."""

    to: SocketAddress
    backend: EndpointOwner | None


class Uneven(msgspec.Struct, frozen=True):
    """An endpoint gets more or less than its fair share."""

    to: SocketAddress
    backend: EndpointOwner | None
    share: Bounds
    fair: Fraction


class Refused(msgspec.Struct, frozen=True):
    """Rules end traffic that has endpoints to go to."""

    verdict: Verdict
    share: Bounds


class Unhandled(msgspec.Struct, frozen=True):
    """No rule sends it to any endpoint: the node's rules do not know this way in."""

    share: Bounds


class TooFew(msgspec.Struct, frozen=True):
    """Fewer endpoints get traffic than were asked for."""

    reached: int
    wanted: int


class NoWay(msgspec.Struct, frozen=True):
    """There is no such way into the service at all."""


class Crosses(msgspec.Struct, frozen=True):
    """Traffic leaves the node that it entered at; ``node`` None: for an address on no node."""

    to: SocketAddress
    backend: EndpointOwner | None
    share: Bounds
    node: str | None


class NotMasqueraded(msgspec.Struct, frozen=True):
    """Traffic crosses to another node with the client's address: the answer misses the client."""

    to: SocketAddress
    backend: EndpointOwner | None
    share: Bounds


class Masqueraded(msgspec.Struct, frozen=True):
    """Under policy Local the endpoint sees another source than the client's address."""

    to: SocketAddress
    backend: EndpointOwner | None
    share: Bounds


class StillConnected(msgspec.Struct, frozen=True):
    """Connections that exist end where none should."""

    row: FlowsRow
    daemon_set: bool = False  # at a pod of a DaemonSet, which stays on a drained node


class EnteredThere(msgspec.Struct, frozen=True):
    """Connections that exist came in by a node where none should, and end elsewhere.

    ``own``: they were opened on that node itself, and end with its pods.
    """

    row: FlowsRow
    own: bool = False


class ConnectionsUnplaced(msgspec.Struct, frozen=True):
    """Connections that exist go to an address, and it is not known on which node that is."""

    to: str
    connections: int


class ConnectionsUnknown(msgspec.Struct, frozen=True):
    """A node's connections, or some of them, are not known."""

    node: str
    why: str


class NothingChecked(msgspec.Struct, frozen=True):
    """The scope of an assertion holds no service that nodes have rules for, or no traffic to one."""


class Observed(msgspec.Struct, frozen=True):
    """Something moved while it was watched: ``what`` says which of the signs was seen.

    ``amount`` counts connections or packets; ``to`` is where they went, ``node`` where it was seen.
    """

    what: Literal["opened", "packets", "refreshed", "counted", "unseen"]
    node: str
    to: str
    amount: int


Problem: TypeAlias = (
    StillConnected
    | EnteredThere
    | ConnectionsUnplaced
    | ConnectionsUnknown
    | NothingChecked
    | Observed
    | Reaches
    | NotMasqueraded
    | Masqueraded
    | Unplaced
    | Queued
    | Unmodelled
    | Unexpected
    | Unserved
    | Uneven
    | Refused
    | Unhandled
    | TooFew
    | NoWay
    | Crosses
)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of one entry. ``entry`` is None where a service has no such entry, or all are meant."""

    service: ServiceKey | None  # None: of connections to no service that the API has
    entry: Entry | None
    policy: TrafficPolicy  # of the service, as it counts for this way in
    problem: Problem
    standing: Standing
    rule: RuleReference | None = None
    questions: tuple[Question, ...] = ()  # what it depends on, where shares are bounds
    cause: Cause | None = None


class AssertionResult(msgspec.Struct, frozen=True, kw_only=True):
    """An assertion, the services it was asserted of, and what speaks against it.

    ``moot``: it is about drained nodes, and the API has none, so it holds whatever the rules are.
    """

    assertion: Assertion
    services: tuple[ServiceKey, ...]
    findings: tuple[Finding, ...]
    nodes: tuple[str, ...] = ()  # those that should get nothing
    moot: bool = False


class CheckAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kinspect check`` answers, by the rules of ``nodes``."""

    judged: tuple[AssertionResult, ...]
    nodes: tuple[str, ...] = ()
    diagnostics: Diagnostics = NONE
    notes: tuple[Note, ...] = ()

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """What is not known and the answer depends on."""
        return self.diagnostics.undetermined

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is known but worth a warning."""
        return self.diagnostics.warnings

    def standing(self, judged: AssertionResult | None = None) -> Literal["holds", "violated", "undetermined"]:
        """The verdict of one assertion, or of all."""
        if judged is None:
            every = {self.standing(each) for each in self.judged}
            return (
                "violated" if "violated" in every else "undetermined" if "undetermined" in every else "holds"
            )
        found = {finding.standing for finding in judged.findings}
        if "violated" in found:
            return "violated"
        unsure = "undetermined" in found or (self.undetermined and not judged.moot)
        return "undetermined" if unsure else "holds"

    @property
    def status(self) -> Status:
        """A violation counts before what is not known."""
        standing = self.standing()
        return "answered" if standing == "holds" else standing


# What is worth a word beside the verdict; ``report.check.words`` has the wording.


class NoneDrained(msgspec.Struct, frozen=True):
    """No node is cordoned: nothing was asserted."""


class NoRules(msgspec.Struct, frozen=True):
    """A service that nodes have no rules for, named by the caller."""

    service: ServiceKey


class NothingIgnored(msgspec.Struct, frozen=True):
    """What was to be ignored is no service."""

    pattern: str


class PodsUnread(msgspec.Struct, frozen=True):
    """Pods were not read: those of DaemonSets cannot be told apart."""


class Existing(msgspec.Struct, frozen=True):
    """Connections that exist, which an assertion about new ones does not count; None: they were not read."""

    assertion: str
    ends: int | None  # that end there
    entered: int = 0  # that only entered there


class StillWayIn(msgspec.Struct, frozen=True):
    """Nodes that should get nothing, and still take in what balancers send for other nodes' pods.

    ``unlabelled`` are those without the label that takes a node out of cloud balancers.
    """

    nodes: tuple[str, ...]
    services: tuple[ServiceKey, ...]
    unlabelled: tuple[str, ...]


Note: TypeAlias = Existing | StillWayIn | NoneDrained | NoRules | NothingIgnored | PodsUnread
