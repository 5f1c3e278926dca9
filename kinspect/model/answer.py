"""The answer to a trace: for each entry, the outcomes; and what is worth saying about them."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, TypeAlias

import msgspec

from kinspect.errors import Status
from kinspect.model.cause import NotServed, RuleReference
from kinspect.model.cluster import Endpoint, EndpointOwner, Service, ServicePort, TrafficPolicy
from kinspect.model.counts import EndpointCount
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined
from kinspect.model.odds import Weight
from kinspect.model.packet import Address, Family, Packet, endpoint_text
from kinspect.model.rules import Verdict
from kinspect.model.trace import Evaluation, Way

Via = Literal["nodeport", "clusterip", "loadbalancer", "externalip", "packet"]
Bounds: TypeAlias = tuple[Fraction, Fraction]  # the least and the greatest; equal where it is known
OUTSIDE: tuple[Via, ...] = ("nodeport", "loadbalancer", "externalip")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One end that a packet can come to; distinct in verdict, destination and source."""

    verdict: Verdict
    address: Address | None = None  # where it ends up; None where it dies
    port: int | None = None
    dnat: bool = False
    snat: str | None = None  # the source it leaves with; "masquerade" where that is not known
    weight: Weight
    ways: tuple[Way, ...]
    missing: str | None = None  # the rules that it goes to and that the text lacks: its end is not known
    backend: EndpointOwner | None = None

    @property
    def to(self) -> str | None:
        """Address and port as text."""
        return None if self.address is None else endpoint_text(self.address, self.port)

    @property
    def bounds(self) -> tuple[Fraction, Fraction]:
        """The least and the greatest share; equal where nothing is unknown."""
        return self.weight.bounds()


class NodeTrace(msgspec.Struct, frozen=True, kw_only=True):
    """One packet at one node, and what becomes of it."""

    node: str
    via: Via
    packet: Packet
    evaluation: Evaluation
    outcomes: tuple[Outcome, ...]
    port: ServicePort | None = None
    origin: str = "client"  # who sends: "client", "pod NS/NAME", "a pod", "a process"
    notes: tuple[str, ...] = ()

    @property
    def family(self) -> Family:
        """4 or 6."""
        return self.packet.family

    @property
    def undecided(self) -> bool:
        """Whether an outcome depends on what no dump tells."""
        return any(o.weight.exact is None or o.missing is not None for o in self.outcomes)


class LostShare(msgspec.Struct, frozen=True):
    """The share of traffic that ends at an entry node and reaches no endpoint.

    ``not served``: no rule of the node takes the service's frontend.
    """

    node: str
    how: Literal["dropped", "rejected", "not served"]
    share: Fraction
    most: Fraction


class Total(msgspec.Struct, frozen=True):
    """Where traffic by one way in ends, under the weights of the entry nodes."""

    via: Via
    port: ServicePort | None
    family: Family
    ends: tuple[NodeShare, ...]
    lost: tuple[LostShare, ...] = ()


class NodeShare(msgspec.Struct, frozen=True):
    """The share of all traffic that ends on a node; None: on no node that is known."""

    node: str | None
    share: Fraction
    most: Fraction


# What is worth saying, one kind each; ``report.words`` has the wording.


class Crossing(msgspec.Struct, frozen=True):
    """A share of what enters at a node leaves for another, or all of it, because of the policy."""

    entry: str
    nodes: tuple[str, ...]
    share: Bounds
    cause: Literal["externalTrafficPolicy", "internalTrafficPolicy"]


class StaysLocal(msgspec.Struct, frozen=True):
    """Nothing of what enters by this way crosses nodes, because the policy is Local."""

    cause: Literal["externalTrafficPolicy", "internalTrafficPolicy"]
    without: tuple[str, ...]  # nodes that have no endpoint, and drop


class SourceHidden(msgspec.Struct, frozen=True):
    """Endpoints see an address of a node, not the client's; ``nodes`` None: wherever it enters.

    ``crossing``: only what leaves the entry node, or some of what enters there.
    """

    nodes: tuple[str, ...] | None
    crossing: bool = False


class Stale(msgspec.Struct, frozen=True):
    """A node's rules still send to addresses that the API does not list for the service."""

    node: str
    via: Via
    to: tuple[str, ...]
    share: Bounds
    backend: EndpointOwner | None  # of the address, if it is one
    silent: bool = False  # kube-proxy's status port does not answer there


class FollowsOldPolicy(msgspec.Struct, frozen=True):
    """Nodes whose rules follow another traffic policy than the service has now."""

    nodes: tuple[str, ...]
    via: Via
    follows: TrafficPolicy


class TakenByRule(msgspec.Struct, frozen=True):
    """A rule that is not kube-proxy's takes the traffic before the service's rules."""

    node: str
    via: Via
    rule: RuleReference | None


class HintsKeep(msgspec.Struct, frozen=True):
    """Topology hints keep what enters at these nodes on some of the endpoints, as the API says."""

    nodes: tuple[str, ...]


class NodeNameDiffers(msgspec.Struct, frozen=True):
    """kube-proxy of a node takes the node's own endpoint for another node's."""

    node: str


class NotServedHere(msgspec.Struct, frozen=True):
    """No rule takes a frontend at these nodes."""

    nodes: tuple[str, ...]
    via: Via
    frontend: str
    cause: NotServed


class NoSuchService(msgspec.Struct, frozen=True):
    """No service of the API has the frontend; ``nodes`` are those whose rules still take it."""

    frontend: str
    nodes: tuple[str, ...] = ()


class NoSuchPod(msgspec.Struct, frozen=True):
    """Traffic ends at an address of the pods' network that no pod has."""

    to: str
    node: str


class EndedByRule(msgspec.Struct, frozen=True):
    """A rule ended it; ``comment`` is the rule's own."""

    table: str
    chain: str
    comment: str | None


class EndedByPolicy(msgspec.Struct, frozen=True):
    """The policy of a built-in chain ended it."""

    table: str
    chain: str


class EndedByRouting(msgspec.Struct, frozen=True):
    """Routing ended it; ``why`` in words."""

    why: str


EndedBy: TypeAlias = EndedByRule | EndedByPolicy | EndedByRouting


class Died(msgspec.Struct, frozen=True):
    """Packets end at some nodes. ``by`` None: nothing that is known ended them."""

    nodes: tuple[str, ...]
    via: Via
    verdict: Verdict
    share: Bounds
    by: EndedBy | None
    source_ranges: tuple[str, ...] = ()  # of the service, where they are the reason


class NodeLabelled(msgspec.Struct, frozen=True):
    """A node has a label that the service's selector asks of pods: it means nothing there."""

    node: str
    label: tuple[str, str]
    selector: tuple[str, str]


class WaysOut(msgspec.Struct, frozen=True):
    """What keeps a node's pods from getting what enters elsewhere, with names to put into commands."""

    service: tuple[str, str]
    node: str
    pod: tuple[str, str]
    key: str | None  # a label that the selector asks for; None: it has no selector


class Missing(msgspec.Struct, frozen=True):
    """Ready endpoints that a node's rules do not have."""

    node: str
    via: Via
    to: tuple[str, ...]
    silent: bool = False  # kube-proxy's status port does not answer there


class Cordoned(msgspec.Struct, frozen=True):
    """A cordoned node still gets a share: cordoning keeps new pods away, not traffic."""

    node: str
    share: Bounds
    own_entry: bool = False  # only of what enters at the node itself


class NoEndpoint(msgspec.Struct, frozen=True):
    """The service has no endpoint that is ready."""


class Terminating(msgspec.Struct, frozen=True):
    """All endpoints left are terminating: Kubernetes sends to them on purpose."""


class Sticky(msgspec.Struct, frozen=True):
    """Client affinity: these are a new client's shares, one that returns stays."""

    seconds: int


Remark: TypeAlias = (
    Crossing
    | Died
    | NodeLabelled
    | WaysOut
    | StaysLocal
    | SourceHidden
    | Stale
    | FollowsOldPolicy
    | TakenByRule
    | HintsKeep
    | NodeNameDiffers
    | NotServedHere
    | NoSuchService
    | NoSuchPod
    | Missing
    | Cordoned
    | NoEndpoint
    | Terminating
    | Sticky
)


class TraceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kinspect trace`` answers."""

    traces: tuple[NodeTrace, ...]
    service: Service | None = None
    endpoints: tuple[Endpoint, ...] = ()
    totals: tuple[Total, ...] = ()
    entry: tuple[tuple[str, Fraction], ...] = ()  # weights that were given; none: all nodes alike
    remarks: tuple[Remark, ...] = ()
    counts: tuple[EndpointCount, ...] | None = None  # what the rules counted, if that was asked for
    diagnostics: Diagnostics = NONE

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """What is not known and the answer depends on."""
        return self.diagnostics.undetermined

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is known but worth a warning."""
        return self.diagnostics.warnings

    @property
    def destinations(self) -> tuple[NodeShare, ...]:
        """Where the traffic ends, if it comes in by one way only."""
        return self.totals[0].ends if len(self.totals) == 1 else ()

    @property
    def not_served(self) -> bool:
        """Whether a frontend of a service is not taken by a node's rules."""
        return any(isinstance(remark, NotServedHere) for remark in self.remarks)

    @property
    def complete(self) -> bool:
        """Whether everything asked for was decided."""
        if self.not_served:
            return False  # what becomes of such packets is for a process of the node, if any
        return not self.undetermined and not any(trace.undecided for trace in self.traces)

    @property
    def status(self) -> Status:
        """Whether it could be answered."""
        return "answered" if self.complete else "undetermined"
