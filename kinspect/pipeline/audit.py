"""``kinspect audit``: a source to everything that is wrong with its service paths."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from kinspect.checks.audit import connections as of_connections
from kinspect.checks.audit import nodes as of_nodes
from kinspect.checks.audit import of_traffic
from kinspect.checks.audit import rules as of_rules
from kinspect.checks.audit.catalogue import KINDS
from kinspect.checks.audit.hostports import stale_host_ports
from kinspect.checks.audit.marks import collisions
from kinspect.checks.audit.misprinted import misprinted
from kinspect.checks.audit.node_drift import DISAGREE, Ballot, Votes, ballot
from kinspect.checks.audit.own_addresses import own_addresses
from kinspect.checks.audit.seen_healthy import Healthy, asked
from kinspect.checks.audit.unowned import unowned
from kinspect.checks.common import RulesOf
from kinspect.errors import CallError, KinspectError, NotFound
from kinspect.evaluate.shortcuts.chains import ChainMemo
from kinspect.evaluate.shortcuts.outcomes_only import ends_of
from kinspect.kubeproxy.endpoints import Zones
from kinspect.kubeproxy.frontends import Owned
from kinspect.model.audit import AuditAnswer, Observation, Severity, merged
from kinspect.model.baseline import Baseline, known_finding
from kinspect.model.check import ServiceKey, ServicePattern
from kinspect.model.cluster import Service
from kinspect.model.diagnostics import Diagnostics, together, unknown
from kinspect.model.flows import Flow
from kinspect.model.node import NodeState
from kinspect.model.packet import Address, Family
from kinspect.model.traffic import Traffic
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.aims import drained_nodes
from kinspect.pipeline.connections import read_tables, tables_of
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.read import (
    changed_meanwhile,
    node_state,
    not_read,
    read_api,
    read_facts,
    selected,
    some_nodes,
    unreadable,
)
from kinspect.pipeline.gather.sources import Rules, Source, Wanted
from kinspect.pipeline.processes import WORTH, spread, usable_cores
from kinspect.pipeline.traffic.locations import Locator
from kinspect.pipeline.traffic.survey import PlannedProbe, Survey
from kinspect.pipeline.traffic.tracer import Tracer
from kinspect.snapshot import types as names
from kinspect.snapshot.types import NodeName, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRequest:
    """What to audit; empty stands for all. ``only_namespace`` narrows to the namespace."""

    services: Sequence[ServicePattern] = ()
    namespace: str | None = None
    only_namespace: bool = False
    nodes: Sequence[str] = ()
    families: Sequence[Family] = (4, 6)
    baseline: Baseline | None = None  # what is known already
    fail_on: Severity = Severity.ERROR


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
    """What was found on some of the nodes, or in some of the services."""

    observations: list[Observation] = field(default_factory=list)
    votes: Votes = field(default_factory=Votes)
    nodes: list[str] = field(default_factory=list)  # those that were read
    failures: list[KinspectError] = field(default_factory=list)  # of those that were not
    diagnostics: list[Diagnostics] = field(default_factory=list)
    standings: list[of_nodes.Standing] = field(default_factory=list)
    without_jump: dict[str, dict[ServiceKey, None]] = field(default_factory=dict)  # services, by node
    unowned: dict[ServiceKey, None] = field(default_factory=dict)  # services of the rules alone

    def add(self, other: _Found) -> None:
        """What was found elsewhere, too."""
        self.observations += other.observations
        self.votes.add(other.votes)
        self.nodes += other.nodes
        self.failures += other.failures
        self.diagnostics += other.diagnostics
        self.standings += other.standings
        self.unowned |= other.unowned
        for node, services in other.without_jump.items():
            self.without_jump.setdefault(node, {}).update(services)


def audit(request: AuditRequest, source: Source) -> AuditAnswer:
    """Follow all traffic, look at all rules, and tell what is wrong. Raises KinspectError.

    Node after node: none is kept once it was looked at.
    """
    if isinstance(source, Rules):
        raise CallError("--rules alone knows no services to audit", hint="give a --snapshot")
    wanted = Wanted(
        namespace=request.namespace,
        pods=True,
        pods_if_allowed=True,
        # Names without a namespace are of the one in use, which is known once the API is open.
        settles=lambda key: _asks_for(request, key, request.namespace or key[0]),
        nodes=tuple(request.nodes),
    )
    snapshot, namespace = opened(source, wanted)
    cluster, diagnostics = read_api(snapshot, request.nodes)
    if not cluster.has("services"):
        raise CallError("there is no api/services.json", hint="kinspect capture -f writes all that is needed")
    diagnostics += not_read(cluster, snapshot, request.nodes)
    diagnostics += changed_meanwhile(snapshot, lambda key: _asks_for(request, key, namespace))
    chosen = list(selected(snapshot, request.nodes))
    services = _chosen(request, cluster, namespace)
    rounds = _Round(request, snapshot, cluster, services, namespace)
    found = _Found(diagnostics=[diagnostics])
    if len(chosen) < usable_cores():
        for name in chosen:  # the services of each are shared out among the cores
            found.add(rounds.node(name, alone=True))
    else:
        least = -(-WORTH // max(1, len(services)))
        for part in spread(chosen, rounds.nodes, least=least):
            found.add(part)
    diagnostics = together(found.diagnostics)
    some_nodes(snapshot, found.nodes, diagnostics, found.failures)
    _named(request, cluster, found.unowned, namespace)
    if not services and not found.unowned:
        diagnostics += unknown(
            "no service that nodes have rules for is in the scope: nothing was audited",
            code="nothing-audited",
        )
    every = dict.fromkeys([*cluster.nodes, *snapshot.nodes])
    meant = request.nodes or [name for name in every if name not in snapshot.excluded]
    observations = [
        *of_nodes.unread(node for node in meant if node not in found.nodes),
        *of_nodes.kube_proxies(found.standings),
        *of_rules.with_consequences(found.observations, found.without_jump),
        *found.votes.observations(),
        *_existing(request, snapshot, services),
        *own_addresses(services, request.families, cluster.own_address_of),
    ]
    every_finding = merged(observations)
    old = request.baseline.identities() if request.baseline else frozenset()
    known = [found for found in every_finding if old.issuperset(known_finding(found).identities())]
    return AuditAnswer(
        observations=tuple(found for found in every_finding if found not in known),
        known=tuple(known),
        fail_on=request.fail_on,
        kinds=tuple(KINDS.values()),
        services=len(services),
        nodes=tuple(found.nodes),
        diagnostics=diagnostics,
    )


def _existing(request: AuditRequest, snapshot: Snapshot, services: Sequence[Service]) -> list[Observation]:
    """What is wrong with connections that exist, if they were recorded: a live audit does not read them."""
    if not any(file in files for files in snapshot.nodes.values() for file in names.CONNECTIONS):
        return []
    try:
        facts = read_facts(snapshot, request.nodes)
    except KinspectError:
        return []  # it is said with the rules, that cannot be read either
    found = read_tables(facts, snapshot, request.nodes, families=request.families, services=services)
    asked = {service.key for service in services}
    flows = [flow for flow in found.flows if flow.service in asked]
    seen = list(of_connections.existing(flows, drained_nodes(facts.cluster)))
    if not found.unknown:  # else the connections of one endpoint may be what is missing
        by_service: dict[ServiceKey, list[Flow]] = {}
        for flow in flows:
            if flow.service is not None:
                by_service.setdefault(flow.service, []).append(flow)
        for service in services:
            own, endpoints = by_service.get(service.key, []), facts.cluster.endpoints(service.key)
            seen += of_connections.uneven(own, service, endpoints)
    return seen


def _memory() -> Healthy:
    return Healthy([DISAGREE, *(kind for family in of_traffic.FAMILIES for kind in family.kinds)])


@dataclass
class _Round:
    """The way from node to node, and what is remembered on it."""

    request: AuditRequest
    snapshot: Snapshot
    cluster: Cluster
    services: Sequence[Service]
    namespace: str
    chains: ChainMemo = field(default_factory=ChainMemo)
    healthy: Healthy = field(default_factory=_memory)
    _more: bool = False  # there is another node to come, to remember what is well for

    def __post_init__(self) -> None:
        # Read now, what all processes share; a node's turn would be too late.
        _ = self._families

    def nodes(self, names: Sequence[NodeName]) -> _Found:
        """Some nodes, one after the other."""
        found = _Found()
        for left, name in zip(range(len(names), 0, -1), names, strict=True):
            self._more = left > 1
            found.add(self.node(name))
        return found

    def node(self, name: NodeName, *, alone: bool = False) -> _Found:
        """One node; ``alone``: there is no other at the same time, so all cores are for this one."""
        found = _Found()
        try:
            state = node_state(self.snapshot, self.cluster, name)
        except KinspectError as error:
            return _Found(failures=[error], diagnostics=[unreadable([error])])
        found.nodes.append(name)
        found.standings.append(of_nodes.standing(state))
        found.observations += of_nodes.both(state)
        found.observations += of_connections.full(tables_of({state.name: state.host}))
        found.observations += of_rules.dangling(state)
        found.observations += misprinted(state)
        found.observations += collisions(state)
        found.observations += self._host_ports(state)
        found.observations += of_rules.half_written(state, self._families)
        if alone:
            for part in spread(self.services, lambda part: self._traffic(state, part)):
                found.add(part)
        else:
            found.add(self._traffic(state, self.services))
        found.add(self._unowned(state))
        return found

    def _host_ports(self, state: NodeState) -> Iterator[Observation]:
        """HostPorts of pods that are gone; without a list of all pods none can be told."""
        manifest = self.snapshot.manifest
        narrowed = manifest is not None and (manifest.services or manifest.namespace is not None)
        if narrowed or not self.cluster.has("pods"):
            return
        places = Locator(self.cluster, {state.name: state})
        yield from stale_host_ports(
            state, places.without_pod, lambda address: self.cluster.pod_at(address) is not None
        )

    def _unowned(self, state: NodeState) -> _Found:
        """Traffic to frontends that the node's rules know and no service of the API owns."""
        survey = Survey(Tracer(self.cluster, {state.name: state}, one_of_many=True), self.request.families)
        planned, untold = survey.unowned(self._owned)
        found = _Found(diagnostics=[untold])
        for each in planned:
            key = each.service.key
            if not _asks_for(self.request, key, self.namespace) or not self.snapshot.covers(key):
                continue
            if key in self.snapshot.moved:
                continue  # it may have come or gone between the API's list and this node's rules
            found.unowned[key] = None
            traffic, untold = survey.followed(each)
            found.diagnostics.append(untold)
            if traffic is not None:
                found.observations += unowned(traffic)
        return found

    @cached_property
    def _owned(self) -> Owned:
        return Owned(self.cluster.services())

    @cached_property
    def _families(self) -> frozenset[Family]:
        """Those in which services with ready endpoints are entered."""
        return frozenset(
            family
            for service in self.services
            if any(endpoint.ready for endpoint in self.cluster.endpoints(service.key))
            for family in self.request.families
            if family in (service.families or {ip.version for ip in service.cluster_ips})
        )

    @cached_property
    def _owners(self) -> _Owners:
        return _Owners(self.cluster)

    def _traffic(self, state: NodeState, services: Sequence[Service]) -> _Found:
        """All traffic to some services at a node, one after the other: none of it is kept."""
        tracer = Tracer(self.cluster, {state.name: state}, one_of_many=True, chains=self.chains)
        survey = Survey(tracer, self.request.families)
        found = _Found()
        for service in services:
            planned, untold = survey.planned(service)
            found.diagnostics.append(untold)
            for each in planned:
                self._look(tracer, survey, each, found)
            admitted, untold = survey.admitted(service)
            found.diagnostics.append(untold)
            for traffic in admitted:
                self._examine(traffic, tracer.rules_of, found)
        found.diagnostics = [together(found.diagnostics)]
        return found

    def _look(self, tracer: Tracer, survey: Survey, planned: PlannedProbe, found: _Found) -> None:
        """Follow what is sent and see what is wrong, unless it is known to be well."""
        probe = planned.probe
        judged = planned.sources == "outside"  # source addresses are judged for outside clients only
        service, endpoints, sources = planned.service, planned.endpoints, planned.sources
        about = asked(service, endpoints, sources, probe.via, probe.port, probe.packet, probe.node)
        if about is not None and self.healthy.among(about):
            ends = tracer.ends(probe, sources=judged)
            known = self.healthy.get(about, ends) if ends is not None else None
            if known is not None:
                (vote,) = known
                if vote is not None:
                    found.votes.cast(vote, probe.node)
                return
        traffic, untold = survey.followed(planned, learn=self._more)
        found.diagnostics.append(untold)
        if traffic is None:
            return
        vote, well = self._examine(traffic, tracer.rules_of, found)
        if self._more and well and about is not None:
            ends = ends_of(traffic.trace.evaluation, sources=judged)
            if ends is not None:
                self.healthy.add(about, ends, vote)

    def _examine(self, traffic: Traffic, rules_of: RulesOf, found: _Found) -> tuple[Ballot | None, bool]:
        """See what is wrong with traffic; gives what its node does, and if all is well."""
        context = of_traffic.Context(self._zones, self._owners, rules_of, self.snapshot.moved)
        well = True
        for family in of_traffic.FAMILIES:
            examined = family.examine(traffic, context)
            found.observations += examined.observations
            well = well and examined.well
            if examined.without_jump:
                found.without_jump.setdefault(traffic.trace.node, {})[traffic.service.key] = None
        vote = ballot(traffic)
        if vote is not None:
            found.votes.cast(vote, traffic.trace.node)
        return vote, well

    @cached_property
    def _zones(self) -> Zones:
        return Locator(self.cluster, {}).zones


def _chosen(request: AuditRequest, cluster: Cluster, namespace: str) -> list[Service]:
    """The services asked for."""
    return [
        service
        for service in cluster.services()
        if _asks_for(request, service.key, namespace)
        and not service.headless
        and service.type != "ExternalName"
    ]


def _asks_for(request: AuditRequest, key: ServiceKey, namespace: str) -> bool:
    """Whether a request is about a service, by its name alone."""
    if request.only_namespace and key[0] != request.namespace:
        return False
    return not request.services or any(p.matches(key, namespace) for p in request.services)


def _named(request: AuditRequest, cluster: Cluster, found: Collection[ServiceKey], namespace: str) -> None:
    """Raise NotFound for what was asked for and is no service: neither the API's nor ``found`` in rules."""
    known = [
        key
        for key in (*cluster.service_names(), *found)
        if not request.only_namespace or key[0] == request.namespace
    ]
    if request.only_namespace and not known:
        raise NotFound(
            f"there is no service in namespace {request.namespace}", hint="kubectl get services -A"
        )
    for pattern in request.services:
        if not any(pattern.matches(key, namespace) for key in known):
            raise NotFound(f"there is no service {pattern}", hint="kubectl get services -A lists them")
