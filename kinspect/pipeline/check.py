"""``kinspect check``: assertions and a source to a verdict, over all traffic to all services."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import msgspec
from typing_extensions import assert_never

from kinspect.checks.assertions.balanced import balanced
from kinspect.checks.assertions.in_sync import in_sync
from kinspect.checks.assertions.local_only import local_only
from kinspect.checks.assertions.no_traffic import no_traffic
from kinspect.checks.assertions.reachable import no_way, reachable
from kinspect.checks.common import RulesOf
from kinspect.errors import CallError, NotFound
from kinspect.kubeproxy.frontends import Owned, only_in_rules
from kinspect.model.check import (
    Assertion,
    AssertionResult,
    Avoided,
    Balanced,
    CheckAnswer,
    Claim,
    Finding,
    InSync,
    LocalOnly,
    NoneDrained,
    NoRules,
    Note,
    NothingChecked,
    NothingIgnored,
    NoTraffic,
    PodsUnread,
    Reachable,
    Scope,
    ServiceKey,
)  # fmt: skip
from kinspect.model.cluster import Service
from kinspect.model.diagnostics import NONE, Diagnostics, together, unknown
from kinspect.model.packet import Family
from kinspect.model.questions import Question
from kinspect.model.traffic import Traffic
from kinspect.pipeline.aims import drained_nodes, meant
from kinspect.pipeline.connections import Connections
from kinspect.pipeline.existing import Asked, existing_notes, judge_existing, read_existing
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.read import Facts, not_read, read_facts
from kinspect.pipeline.gather.sources import Rules, Source, Wanted
from kinspect.pipeline.processes import WORTH, spread
from kinspect.pipeline.traffic.locations import Locator
from kinspect.pipeline.traffic.probes import ports_of
from kinspect.pipeline.traffic.survey import Survey
from kinspect.pipeline.traffic.tracer import Tracer
from kinspect.snapshot.types import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRequest:
    """What to assert. ``only_namespace`` narrows to the namespace; else it completes short names."""

    assertions: Sequence[Assertion]
    namespace: str | None = None
    only_namespace: bool = False
    nodes: Sequence[str] = ()
    families: Sequence[Family] = (4, 6)

    @property
    def established(self) -> bool:
        """Whether any assertion is about connections that exist."""
        return any(isinstance(a.claim, NoTraffic) and a.claim.established for a in self.assertions)


@dataclass(slots=True)
class _Asked:
    """An assertion as it stands in one cluster, and what was found so far."""

    assertion: Assertion
    services: dict[ServiceKey, None]  # in their order
    avoided: Avoided | None = None
    findings: list[Finding] = field(default_factory=list)
    entered: set[ServiceKey] = field(default_factory=set)  # services with any traffic to look at


def check(request: CheckRequest, source: Source, *, connections: bool = False) -> CheckAnswer:
    """Judge all assertions in one survey of the traffic. Raises KinspectError."""
    return read_and_judge(request, source, connections=connections).answer


@dataclass(frozen=True, slots=True)
class Reading:
    """One answer, and what it was made from: to see what moves until the next."""

    answer: CheckAnswer
    snapshot: Snapshot
    asked: tuple[Asked, ...] = ()  # the assertions about traffic to somewhere
    connections: Connections | None = None


def read_and_judge(request: CheckRequest, source: Source, *, connections: bool = False) -> Reading:
    """Read the source once and judge all assertions; ``connections``: read them even if none is about them.

    Raises KinspectError.
    """
    if isinstance(source, Rules):
        raise CallError("--rules alone knows no services to check", hint="give a --snapshot")
    wanted = Wanted(
        namespace=request.namespace,
        pods=True,
        pods_if_allowed=True,
        # Names without a namespace are of the one in use, which is known once the API is open.
        settles=lambda key: _concerns(request, key, request.namespace or key[0]),
        connections=connections or request.established,
        nodes=tuple(request.nodes),
    )
    snapshot, namespace = opened(source, wanted)
    facts = read_facts(snapshot, request.nodes, about=lambda key: _concerns(request, key, namespace))
    diagnostics = [facts.diagnostics, not_read(facts.cluster, snapshot, request.nodes)]
    services = _services(request, facts, namespace)
    notes: list[Note] = []
    asked = []
    for assertion in request.assertions:
        with _said_of(assertion):
            notes += _named(assertion, facts, services, namespace)
            one, unknown = _asked(assertion, facts, services, namespace)
            asked.append(one)
            diagnostics.append(unknown)
    diagnostics.append(
        _survey(request, snapshot, facts, services, [a for a in asked if a.avoided != Avoided()], namespace)
    )
    found = together(diagnostics)
    notes += _notes(asked, facts)
    for one in asked:
        one.findings = [_if_settled(finding, snapshot) for finding in one.findings]
        if isinstance(one.assertion.claim, Reachable) and one.services:
            one.findings += [
                no_way(services[key], all_followed=not found.undetermined)
                for key in one.services
                if key not in one.entered
            ]
        elif not _moot(one, facts) and not one.entered and not (one.services and found.undetermined):
            one.findings.append(_nothing_checked())
    towards = [_towards(one, request, facts) for one in asked if one.avoided not in (None, Avoided())]
    existing = read_existing(towards, facts, snapshot, services, request.nodes, request.families)
    for one, there in zip([a for a in asked if a.avoided not in (None, Avoided())], towards, strict=True):
        if there.claim.established and existing is not None:
            one.findings += judge_existing(there, existing, facts.cluster)
        notes += existing_notes(there, existing, facts)
    answer = CheckAnswer(
        judged=tuple(
            AssertionResult(
                assertion=a.assertion,
                services=tuple(a.services),
                findings=tuple(a.findings),
                nodes=tuple(sorted(a.avoided.nodes)) if a.avoided else (),
                moot=_moot(a, facts),
            )
            for a in asked
        ),
        nodes=tuple(facts.states),
        diagnostics=found,
        notes=tuple(dict.fromkeys(notes)),
    )
    return Reading(answer, snapshot, tuple(towards), existing)


def _towards(one: _Asked, request: CheckRequest, facts: Facts) -> Asked:
    """An assertion about traffic to somewhere, for what is asked about connections."""
    assertion = one.assertion
    assert isinstance(assertion.claim, NoTraffic)
    assert one.avoided is not None
    narrowed = bool(assertion.scope.services) or request.only_namespace
    addresses = {str(address) for address in one.avoided.addresses}
    for pod in facts.cluster.pods.values():
        if pod.node in one.avoided.nodes and not pod.host_network:
            addresses.update(map(str, pod.addresses))
    return Asked(
        assertion, assertion.claim, one.avoided, frozenset(one.services), frozenset(addresses), narrowed
    )


@dataclass(slots=True)
class _Followed:
    """What some of the services' traffic says: of each assertion its findings, and the services entered."""

    findings: list[list[Finding]]
    entered: list[set[ServiceKey]]
    diagnostics: Diagnostics = NONE


def _survey(
    request: CheckRequest,
    snapshot: Snapshot,
    facts: Facts,
    services: dict[ServiceKey, Service],
    asked: Sequence[_Asked],
    namespace: str,
) -> Diagnostics:
    """Follow what any of the assertions is about, once, and judge it service by service.

    Returns what could not be followed.
    """
    wanted = {key for one in asked for key in one.services}
    chosen = [service for key, service in services.items() if key in wanted]
    least = -(-WORTH // max(1, len(facts.states)))  # a service is followed on every node
    parts = spread(chosen, lambda part: _followed(request, facts, part, asked, namespace), least=least)
    for found in parts:
        for one, findings, entered in zip(asked, found.findings, found.entered, strict=True):
            one.findings += findings
            one.entered |= entered
    unowned = _unowned(request, snapshot, facts, asked, namespace)
    return together([*(found.diagnostics for found in parts), unowned])


def _unowned(
    request: CheckRequest, snapshot: Snapshot, facts: Facts, asked: Sequence[_Asked], namespace: str
) -> Diagnostics:
    """Judge what nodes send to frontends that no service of the API owns; returns what is not known.

    Such traffic counts for assertions about where traffic goes. Whether it is reachable or balanced is
    a question about services that exist.
    """
    judges = [one for one in asked if isinstance(one.assertion.claim, NoTraffic | InSync | LocalOnly)]
    if not judges:
        return NONE
    tracer = Tracer(facts.cluster, facts.states)
    survey = Survey(tracer, request.families)
    places = Locator(facts.cluster, facts.states)
    planned, unknown = survey.unowned(Owned(facts.cluster.services()))
    diagnostics = [unknown]
    for each in planned:
        key = each.service.key
        wanted = [one for one in judges if _selects(one.assertion.scope, key, namespace)]
        if not wanted or (request.only_namespace and key[0] != namespace) or not snapshot.covers(key):
            continue
        traffic, unknown = survey.followed(each)
        diagnostics.append(unknown)
        if traffic is None:
            continue
        for one in wanted:
            if _within(one.assertion.scope, traffic, namespace):
                one.services.setdefault(key)
                one.entered.add(key)
                one.findings += _judge(one, [traffic], places, tracer.rules_of)
    return together(diagnostics)


def _concerns(request: CheckRequest, key: ServiceKey, namespace: str) -> bool:
    """Whether any assertion is about a service, by its name alone."""
    if request.only_namespace and key[0] != namespace:
        return False
    return any(_selects(assertion.scope, key, namespace) for assertion in request.assertions)


def _selects(scope: Scope, key: ServiceKey, namespace: str) -> bool:
    """Whether a scope is about a service, by its name alone."""
    if any(pattern.matches(key, namespace) for pattern in scope.ignore):
        return False
    return not scope.services or any(pattern.matches(key, namespace) for pattern in scope.services)


def _followed(
    request: CheckRequest, facts: Facts, services: Sequence[Service], asked: Sequence[_Asked], namespace: str
) -> _Followed:
    tracer = Tracer(facts.cluster, facts.states)
    survey = Survey(tracer, request.families)
    found = _Followed([[] for _ in asked], [set() for _ in asked])
    diagnostics = []
    places = Locator(facts.cluster, facts.states)
    for service in services:
        usual, unknown = survey.of(service)
        admitted, unknown_of_admitted = survey.admitted(service)
        traffics = [*usual, *admitted]
        diagnostics += [unknown, unknown_of_admitted]
        for one, findings, entered in zip(asked, found.findings, found.entered, strict=True):
            if service.key in one.services:
                within = [t for t in traffics if _within(one.assertion.scope, t, namespace)]
                if within:
                    entered.add(service.key)
                findings += _judge(one, within, places, tracer.rules_of)
    found.diagnostics = together(diagnostics)
    return found


def _judge(
    asked: _Asked, traffics: Sequence[Traffic], places: Locator, rules_of: RulesOf
) -> Iterator[Finding]:
    claim: Claim = asked.assertion.claim
    match claim:
        case NoTraffic():
            assert asked.avoided is not None
            return no_traffic(
                claim, asked.avoided, traffics, places.locate, places.of_daemon_set, places.zones
            )
        case InSync():
            return in_sync(traffics, places.zones, rules_of)
        case Reachable():
            return reachable(claim, traffics)
        case Balanced():
            return balanced(claim, traffics)
        case LocalOnly():
            return local_only(traffics, places.locate)
        case _:
            assert_never(claim)


def _within(scope: Scope, traffic: Traffic, namespace: str) -> bool:
    """Whether an assertion is about this traffic to one of its services."""
    trace = traffic.trace
    named = [p for p in scope.services if p.matches(traffic.service.key, namespace)]
    port = trace.port
    return (
        (not scope.vias or trace.via in scope.vias)
        and (not scope.sources or traffic.sources in scope.sources)
        and (not scope.nodes or trace.node in scope.nodes)
        and (
            not any(pattern.port for pattern in named)
            or (port is not None and any(p.port in (None, port.name, str(port.port)) for p in named))
        )
    )


def _services(request: CheckRequest, facts: Facts, namespace: str) -> dict[ServiceKey, Service]:
    """The services that can be asked about. Raises NotFound where a namespace has none."""
    cluster = facts.cluster
    if not cluster.has("services"):
        raise CallError("there is no api/services.json", hint="kinspect capture -f writes all that is needed")
    every = cluster.services()
    services = {s.key: s for s in every if not request.only_namespace or s.namespace == namespace}
    if services or not request.only_namespace:
        return services
    if any(space == namespace for space, _ in only_in_rules(facts.states.values(), cluster)):
        return services
    raise NotFound(f"there is no service in namespace {namespace}", hint="kubectl get services -A")


def _named(
    assertion: Assertion, facts: Facts, services: dict[ServiceKey, Service], namespace: str
) -> list[Note]:
    """What is worth a word about the names in a scope. Raises NotFound for those that do not exist."""
    notes: list[Note] = []
    cluster = facts.cluster
    for pattern in assertion.scope.services:
        if not any(pattern.matches(key, namespace) for key in services):
            # A service that was deleted may be just what is asked about: a node's rules still have it.
            if any(pattern.matches(key, namespace) for key in only_in_rules(facts.states.values(), cluster)):
                continue
            if pattern.open:
                raise NotFound(f"no service is {pattern}", hint="kubectl get services -A lists them")
        if not pattern.open:
            service = cluster.service(pattern.namespace or namespace, pattern.name)
            if _without_rules(service):
                notes.append(NoRules(service.key))
            if pattern.port is not None:
                ports_of(service, pattern.port)
    notes += [
        NothingIgnored(str(pattern))
        for pattern in assertion.scope.ignore
        if not any(pattern.matches(key, namespace) for key in services)
    ]
    unknown = set(assertion.scope.nodes) - set(cluster.nodes)
    if unknown and cluster.nodes:
        there = ", ".join(list(cluster.nodes)[:20])
        raise NotFound(f"there is no node {min(unknown)}", hint=f"there are: {there}")
    return notes


@contextmanager
def _said_of(assertion: Assertion) -> Iterator[None]:
    """What an assertion of a file names, and is not there, is an error at its line."""
    try:
        yield
    except NotFound as error:
        if assertion.source is None:
            raise
        raise NotFound(f"{assertion.source}: {error.message}", hint=error.hint) from error


def _without_rules(service: Service) -> bool:
    """Whether nodes have no rules for it: DNS gives its pods' addresses, or another name."""
    return service.headless or service.type == "ExternalName"


def _asked(
    assertion: Assertion, facts: Facts, services: dict[ServiceKey, Service], namespace: str
) -> tuple[_Asked, Diagnostics]:
    """An assertion as it stands in this cluster, and what is not known about that."""
    scope, claim = assertion.scope, assertion.claim
    chosen = {
        key: None
        for key, service in services.items()
        if _selects(scope, key, namespace) and not _without_rules(service)
    }
    if not isinstance(claim, NoTraffic):
        return _Asked(assertion, chosen), NONE
    if claim.to is not None:
        return _Asked(assertion, chosen, meant(claim.to, facts, namespace)), NONE
    missing = NONE
    if not facts.cluster.has("nodes"):
        missing = unknown("there is no api/nodes.json: which nodes are cordoned is not known")
    return _Asked(assertion, chosen, Avoided(drained_nodes(facts.cluster, claim.taints))), missing


def _if_settled(finding: Finding, snapshot: Snapshot) -> Finding:
    """The finding; a violation is not sure if the endpoints changed while nodes were read.

    The API's list may be older or newer than the rules, and neither is to blame.
    """
    if finding.standing != "violated" or finding.service not in snapshot.moved:
        return finding
    changed = Question("changed", f"the endpoints of {'/'.join(finding.service)} changed while this was read")
    return msgspec.structs.replace(finding, standing="undetermined", questions=(*finding.questions, changed))


def _moot(one: _Asked, facts: Facts) -> bool:
    """Whether it is about drained nodes, and the API has none."""
    return one.avoided == Avoided() and facts.cluster.has("nodes")


def _nothing_checked() -> Finding:
    """No traffic is in an assertion's scope, so it cannot be said to hold."""
    return Finding(
        service=None, entry=None, policy="Cluster", problem=NothingChecked(), standing="undetermined"
    )


def _notes(asked: Sequence[_Asked], facts: Facts) -> list[Note]:
    notes: list[Note] = []
    for one in asked:
        if _moot(one, facts):
            notes.append(NoneDrained())
        if one.avoided is not None and one.avoided.nodes and not facts.cluster.has("pods"):
            notes.append(PodsUnread())
    return notes
