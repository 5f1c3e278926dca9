"""All traffic to all services: every way in, from outside, from a pod and from a process on each node.

What ``check`` and ``audit`` look at. One packet stands for a class of sources; what a rule does for
some addresses of the class only (a source range, an outside client that is not OUTSIDE_CLIENT) is
seen where the class's packet is among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from kinspect.model.answer import OUTSIDE
from kinspect.model.cluster import Endpoint, Service
from kinspect.model.packet import Family
from kinspect.model.traffic import SenderClass, Traffic
from kinspect.pipeline.traffic.probes import VIAS, AnySender, Probe, Prober
from kinspect.pipeline.traffic.tracer import Tracer

_SENDERS: Final[tuple[tuple[SenderClass, AnySender | None], ...]] = (
    ("outside", None),
    ("pod", "pod"),
    ("process", "process"),
)


class PlannedProbe(msgspec.Struct, frozen=True):
    """What one class of sources sends to a service, not followed yet."""

    service: Service
    endpoints: tuple[Endpoint, ...]  # all that the API lists for the service, ready or not
    sources: SenderClass
    probe: Probe


def survey(
    facts: Tracer, services: Iterable[Service], *, families: Sequence[Family] = (4, 6)
) -> Iterator[Traffic]:
    """Follow all of it. What cannot be followed is left out and added to ``facts.undetermined``."""
    for sending in sendings(facts, services, families=families):
        traffic = followed(facts, sending)
        if traffic is not None:
            yield traffic


def followed(facts: Tracer, sending: PlannedProbe, *, learn: bool = False) -> Traffic | None:
    """What becomes of it; None where that cannot be told, which is added to ``facts.undetermined``.

    ``learn``: what becomes known of chains is kept for ``facts.ends``.
    """
    trace = facts.follow(sending.probe, sending.endpoints, among_many=True, learn=learn)
    return None if trace is None else Traffic(sending.service, sending.endpoints, sending.sources, trace)


def sendings(
    facts: Tracer, services: Iterable[Service], *, families: Sequence[Family] = (4, 6)
) -> Iterator[PlannedProbe]:
    """All that is sent. What nobody can send is added to ``facts.undetermined``.

    Services without rules (headless, ExternalName) have no traffic that a node sends anywhere.
    """
    probers = [
        (kind, Prober(facts.cluster, facts.states, families=families, sender=sender))
        for kind, sender in _SENDERS
    ]
    for service in services:
        if service.headless or service.type == "ExternalName":
            continue
        endpoints = facts.cluster.endpoints(service.key)
        for kind, prober in probers:
            ways = [via for via in VIAS if kind != "outside" or via in OUTSIDE]
            for probe in prober.of_service(service, ways, service.ports):
                yield PlannedProbe(service, endpoints, kind, probe)
    for _, prober in probers:
        facts.undetermined += prober.skipped
