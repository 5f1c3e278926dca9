"""Traffic that audit has nothing new to ask about: it ends as other traffic did, where all was well.

What audit finds in traffic depends on where it ends, on what the API says of the service, and on the
few things of the node named in ``asked``. So the same traffic at the next node, with the same ends, is
as well as it was at the first. Each kind of finding declares what it depends on; if one that is looked
for depends on more than ``KEYED``, nothing is remembered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias

from kinspect.checks.audit.node_drift import Ballot
from kinspect.model.answer import Via
from kinspect.model.audit import Fact, FindingKind
from kinspect.model.cluster import Endpoint, Service, ServicePort
from kinspect.model.packet import Packet
from kinspect.model.trace import PacketEnds
from kinspect.model.traffic import SenderClass

KEYED: Final[frozenset[Fact]] = frozenset({"way in", "endpoints", "ends", "outside source"})
"""What traffic is told apart by here: the first two are in ``Asked``, the others in ``PacketEnds``."""

Asked: TypeAlias = tuple[object, ...]
"""All that audit's questions about a class of traffic depend on, but for where it ends."""


def asked(
    service: Service,
    endpoints: tuple[Endpoint, ...],
    sources: SenderClass,
    via: Via,
    port: ServicePort | None,
    packet: Packet,
    node: str,
) -> Asked | None:
    """None where the node itself is asked about in other ways than by its endpoints: topology hints."""
    if any(e.for_zones or e.for_nodes for e in endpoints):
        return None
    local = "Local" in (service.external_policy, service.internal_policy)
    return (
        service.key,
        sources,
        via,
        port,
        packet.family,
        packet.dport if via == "nodeport" else (int(packet.dst), packet.dport),
        int(packet.src) if sources == "outside" or service.source_ranges else None,
        tuple(e.address for e in endpoints if e.node == node) if local else None,
    )


@dataclass
class Healthy:
    """Traffic in which nothing was found, with what its node's vote was.

    ``kinds`` are those that are looked for in traffic.
    """

    kinds: Iterable[FindingKind]
    _known: dict[Asked, dict[PacketEnds, Ballot | None]] = field(default_factory=dict)

    @cached_property
    def serves(self) -> bool:
        """Whether the kinds depend on no more than traffic is told apart by."""
        return all(kind.depends <= KEYED for kind in self.kinds)

    def among(self, about: Asked) -> bool:
        """Whether such traffic was well somewhere, so that it is worth asking where this one ends."""
        return self.serves and about in self._known

    def add(self, about: Asked, ends: PacketEnds, ballot: Ballot | None) -> None:
        """Nothing was found in it."""
        if self.serves:
            self._known.setdefault(about, {})[ends] = ballot

    def get(self, about: Asked, ends: PacketEnds) -> tuple[Ballot | None] | None:
        """The vote of the same traffic elsewhere; None: it is not known to be well."""
        known = self._known.get(about)
        return (known[ends],) if known is not None and ends in known else None
