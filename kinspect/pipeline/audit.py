"""``kinspect audit``: a source to everything that is wrong with its service paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from kinspect.checks.audit import nodes as of_nodes
from kinspect.checks.audit import rules as of_rules
from kinspect.checks.audit.empty import empty
from kinspect.checks.audit.kinds import KINDS
from kinspect.checks.audit.odd_one_out import Votes
from kinspect.checks.audit.traffic import astray
from kinspect.errors import CallError, NotFound
from kinspect.model.audit import AuditAnswer, Observation, merged
from kinspect.model.cluster import Service
from kinspect.model.gate import ServiceKey, ServicePattern
from kinspect.model.packet import Address, Family
from kinspect.parse.cluster import Cluster
from kinspect.pipeline.admitted import admitted_traffic
from kinspect.pipeline.facts import Facts, read_facts, unread
from kinspect.pipeline.places import Places
from kinspect.pipeline.sources import Rules, Source, Wanted, opened
from kinspect.pipeline.spread import spread
from kinspect.pipeline.survey import survey


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """What to audit; empty stands for all. ``only_namespace`` narrows to the namespace."""

    services: Sequence[ServicePattern] = ()
    namespace: str | None = None
    only_namespace: bool = False
    nodes: Sequence[str] = ()
    families: Sequence[Family] = (4, 6)


@dataclass
class _Owners:
    """Which services list an address: an index, made when a stale endpoint is met."""

    cluster: Cluster

    def __call__(self, address: Address) -> Sequence[ServiceKey]:
        return self._index.get(address, [])

    @cached_property
    def _index(self) -> dict[Address, list[ServiceKey]]:
        index: dict[Address, list[ServiceKey]] = {}
        for service in self.cluster.services():
            for endpoint in self.cluster.endpoints(service.key):
                index.setdefault(endpoint.address, []).append(service.key)
        return index


@dataclass(slots=True)
class _Found:
    """What was found in some of the services."""

    observations: list[Observation] = field(default_factory=list)
    families: set[Family] = field(default_factory=set)  # that have services with ready endpoints
    undetermined: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def audit(request: AuditRequest, source: Source) -> AuditAnswer:
    """Follow all traffic, look at all rules, and tell what is wrong. Raises KinspectError."""
    if isinstance(source, Rules):
        raise CallError("--rules alone knows no services to audit", hint="give a --snapshot")
    snapshot, namespace = opened(
        source, Wanted(namespace=request.namespace, pods=True, nodes=tuple(request.nodes))
    )
    facts = read_facts(snapshot, request.nodes)
    facts.undetermined += unread(facts, snapshot, request.nodes)
    services = _chosen(request, facts.cluster, namespace)
    manifest = snapshot.manifest
    changed = frozenset(manifest.changed) if manifest else frozenset()
    wanted = request.nodes or list(dict.fromkeys([*facts.cluster.nodes, *snapshot.nodes]))
    observations = list(of_nodes.unread(node for node in wanted if node not in facts.states))
    for state in facts.states.values():
        observations += of_nodes.data_path(state)
        observations += of_nodes.both(state)
        observations += of_rules.dangling(state)
        observations += of_rules.portless(state)
    families: set[Family] = set()
    for found in spread(services, lambda part: _followed(request, facts, part, changed)):
        observations += found.observations
        families |= found.families
        facts.undetermined += found.undetermined
        facts.warnings += found.warnings
    for state in facts.states.values():
        observations += of_rules.half_written(state, frozenset(families))
    return AuditAnswer(
        observations=tuple(merged(observations)),
        kinds=tuple(KINDS.values()),
        services=len(services),
        nodes=tuple(facts.states),
        undetermined=tuple(dict.fromkeys(facts.undetermined)),
        warnings=tuple(dict.fromkeys(facts.warnings)),
    )


def _followed(
    request: AuditRequest, read: Facts, services: Sequence[Service], changed: frozenset[str]
) -> _Found:
    """All traffic to some services, one after the other: none of it is kept."""
    facts = Facts(read.cluster, read.states, [])
    found = _Found(undetermined=facts.undetermined, warnings=facts.warnings)
    zones = Places(facts.cluster, facts.states).zones
    owners = _Owners(facts.cluster)
    votes = Votes()
    for service in services:
        moved = "/".join(service.key) in changed
        asked = survey(facts, [service], families=request.families)
        for traffic in chain(asked, admitted_traffic(facts, service, request.families)):
            if any(endpoint.ready for endpoint in traffic.endpoints):
                found.families.add(traffic.trace.family)
            found.observations += astray(traffic, zones, owners, moved=moved)
            found.observations += empty(traffic, zones)
            votes.cast(traffic)
    found.observations += votes.observations()
    return found


def _chosen(request: AuditRequest, cluster: Cluster, namespace: str) -> list[Service]:
    """The services asked for. Raises NotFound for a name that is none."""
    services = [
        s for s in cluster.services() if not request.only_namespace or s.namespace == request.namespace
    ]
    for pattern in request.services:
        if not pattern.open and not any(pattern.matches(s.key, namespace) for s in services):
            raise NotFound(f"there is no service {pattern}", hint="kubectl get services -A lists them")
    return list(_matching(request, services, namespace))


def _matching(request: AuditRequest, services: Sequence[Service], namespace: str) -> Iterator[Service]:
    for service in services:
        wanted = not request.services or any(p.matches(service.key, namespace) for p in request.services)
        if wanted and not service.headless and service.type != "ExternalName":
            yield service
