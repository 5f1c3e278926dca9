"""How many new connections the rules of a node have counted for each endpoint, beside the share they give it.

A rule of nat meets the first packet of a connection only, so what its counter has gained is the number of new
connections (Linux: nf_nat_core.c, nf_nat_inet_fn).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Literal, TypeAlias

import msgspec

from kinspect.errors import Status
from kinspect.model.cluster import EndpointOwner, Service, ServicePort
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined
from kinspect.model.packet import Family

Judgement: TypeAlias = Literal["chance", "more-than-chance", "within-bounds", "not-tested"]
"""Whether a count differs from the share by chance. ``within-bounds``: ways in have different shares, and the
count lies between them; ``not-tested``: there are no connections, or the service has client affinity."""

NodeCondition: TypeAlias = Literal["first", "counted", "reset", "rewritten", "waiting", "gone"]
"""What a reading of a node is: the first one, to count from; one that was counted; one with counters that
fell; one whose rules changed; none yet since the last; none, because the node cannot be read."""


class EndpointCount(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules of one node counted for one endpoint of a service port.

    ``share``: what the rules give it of new connections; the bounds differ if ways in have different shares,
    since their connections are counted together. ``connections``: None if it is not known. ``drawn``: those
    of all endpoints of the port at this node. ``chance``: the probability (p-value) of a count at least so
    far from the share, by the exact binomial test; None if it was not tested.
    """

    node: str
    port: ServicePort | None
    family: Family
    to: str
    backend: EndpointOwner | None
    share: tuple[Fraction, Fraction]
    connections: int | None
    drawn: int = 0
    rate: float | None = None  # new connections a second since the reading before
    chance: float | None = None
    judgement: Judgement = "not-tested"


class NodeReading(msgspec.Struct, frozen=True, kw_only=True):
    """How a node was read; ``seconds`` since the reading before, which rates are of."""

    node: str
    condition: NodeCondition
    seconds: float | None = None
    why: str | None = None
    resets: int = 0  # so far
    rewrites: int = 0


class ReadingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of ``kinspect watch``: what was counted since the watch began, and the present rates."""

    number: int
    time: str  # RFC 3339, UTC
    elapsed: float  # seconds since the watch began
    service: Service
    nodes: tuple[NodeReading, ...]
    counts: tuple[EndpointCount, ...]
    diagnostics: Diagnostics = NONE

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """The nodes that cannot be read."""
        return self.diagnostics.undetermined

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is known but worth a warning."""
        return self.diagnostics.warnings

    @property
    def status(self) -> Status:
        """Whether all nodes could be read."""
        return "undetermined" if self.undetermined else "answered"
