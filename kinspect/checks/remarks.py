"""Why a service's traces are as they are: what an on-call engineer needs to know beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from kinspect.checks.common import RulesOf, endpoints_of, may_be, sent
from kinspect.checks.diagnosis import (
    answered_on_the_node,
    why_ended,
    why_not_served,
    why_nothing_goes_to,
    why_sent_there,
)
from kinspect.kubeproxy.endpoints import Zones, policy_of
from kinspect.kubeproxy.names import PROXY_FIREWALL
from kinspect.model.answer import (
    OUTSIDE,
    Bounds,
    Cordoned,
    Crossing,
    Died,
    EndedBy,
    EndedByPolicy,
    EndedByRouting,
    EndedByRule,
    FollowsOldPolicy,
    HintsKeep,
    Missing,
    NodeLabelled,
    NodeNameDiffers,
    NodeTrace,
    NoEndpoint,
    NotServedHere,
    Outcome,
    Remark,
    SourceHidden,
    Stale,
    StaysLocal,
    Sticky,
    TakenByRule,
    Terminating,
    Total,
    WaysOut,
)  # fmt: skip
from kinspect.model.cause import (
    BehindApi,
    Cause,
    HintsApply,
    NotServed,
    OldPolicy,
    RefusedByProxy,
    TakenFirst,
)
from kinspect.model.cluster import Endpoint, Node, Service
from kinspect.model.odds import NOTHING
from kinspect.model.packet import endpoint_text
from kinspect.model.rules import Verdict
from kinspect.model.trace import ChainPolicy, Matched, Routed, Way
from kinspect.model.traffic import Traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What remarks ask of the cluster beside the traces."""

    nodes: Mapping[str, Node]
    zones: Zones
    rules_of: RulesOf
    silent: frozenset[str] = frozenset()  # nodes whose kube-proxy does not answer, while others' do


def remarks(
    service: Service | None, traffics: Sequence[Traffic], totals: Sequence[Total], setting: Setting
) -> Iterator[Remark]:
    """What is worth saying, the most pressing first."""
    if service is None or not traffics:
        return
    traces, endpoints = [traffic.trace for traffic in traffics], traffics[0].endpoints
    yield from _differences(traffics, setting)
    if not any(endpoint.ready for endpoint in endpoints):
        if any(endpoint.serving and endpoint.terminating for endpoint in endpoints):
            yield Terminating()
        else:
            yield NoEndpoint()
    for outside in (True, False):
        group = [trace for trace in traces if (trace.via in OUTSIDE) is outside]
        if group:
            yield from _crossing(service, endpoints, group, outside=outside)
    yield from _died(service, traces)
    yield from _hidden([trace for trace in traces if trace.via in OUTSIDE])
    yield from _cordoned(traces, totals, setting.nodes)
    for node in setting.nodes.values():
        for key, wanted in service.selector.items():
            if key in node.labels:
                yield NodeLabelled(node.name, (key, node.labels[key]), (key, wanted))
    if service.affinity_seconds is not None:
        yield Sticky(service.affinity_seconds)


def _differences(traffics: Iterable[Traffic], setting: Setting) -> Iterator[Remark]:
    """Where the rules do otherwise than the API says, each with its cause."""
    old: dict[tuple[object, ...], tuple[FollowsOldPolicy, list[str]]] = {}
    unserved: dict[tuple[object, ...], tuple[NotServedHere, list[str]]] = {}
    hinted: dict[str, None] = {}
    found: dict[Remark, None] = {}
    for traffic in traffics:
        trace = traffic.trace
        for cause, to in _causes(traffic, setting):
            match cause:
                case OldPolicy(follows):
                    remark = FollowsOldPolicy((), trace.via, follows)
                    old.setdefault((trace.via, follows), (remark, []))[1].append(trace.node)
                case TakenFirst(rule):
                    found[TakenByRule(trace.node, trace.via, rule)] = None
                case HintsApply():
                    hinted[trace.node] = None
                case RefusedByProxy(knows=True):
                    found[NodeNameDiffers(trace.node)] = None
                case NotServed():
                    frontend = endpoint_text(trace.packet.dst, trace.packet.dport)
                    here = NotServedHere((), trace.via, frontend, cause)
                    # A NodePort has another address at every node, and one reason.
                    about = frontend if trace.via != "nodeport" else trace.packet.dport
                    unserved.setdefault((about, cause.why), (here, []))[1].append(trace.node)
                case BehindApi() if to:
                    silent = trace.node in setting.silent
                    found[Missing(trace.node, trace.via, to, silent)] = None
                case _:
                    pass  # what ends packets at a rule or in routing is a remark of its own
        found.update(dict.fromkeys(_stale(traffic, setting)))
    for served, nodes in unserved.values():
        yield msgspec.structs.replace(served, nodes=tuple(dict.fromkeys(nodes)))
    for policy, nodes in old.values():
        yield msgspec.structs.replace(policy, nodes=tuple(dict.fromkeys(nodes)))
    yield from found
    if hinted:
        yield HintsKeep(tuple(hinted))


def _causes(traffic: Traffic, setting: Setting) -> Iterator[tuple[Cause, tuple[str, ...]]]:
    """Causes seen in one class of traffic, with the endpoints that get nothing because of them."""
    trace = traffic.trace
    rulesets = setting.rules_of(trace.node, trace.family)
    outcomes = may_be(trace.outcomes)
    for outcome in outcomes:
        if outcome.verdict is not Verdict.ACCEPT:
            yield why_ended(outcome.ways[0], traffic, rulesets), ()
        elif not sent(traffic, outcome):
            why = why_not_served(traffic, outcome, rulesets)
            if not answered_on_the_node(why):
                yield why, ()
    if not any(way.packet.dnat for outcome in outcomes for way in outcome.ways):
        return
    reached = {(outcome.address, outcome.port) for outcome in outcomes}
    missing: dict[Cause, list[str]] = {}
    for endpoint in _meant(traffic):
        if (endpoint.address, endpoint.port) not in reached:
            cause = why_nothing_goes_to(endpoint, traffic, setting.zones, rulesets)
            missing.setdefault(cause, []).append(endpoint_text(endpoint.address, endpoint.port))
    for cause, to in missing.items():
        yield cause, tuple(to)


def _meant(traffic: Traffic) -> list[Endpoint]:
    """The ready endpoints that the policy lets the traffic go to."""
    trace = traffic.trace
    local = policy_of(traffic.service, trace.via) == "Local"
    return [
        endpoint
        for endpoint in endpoints_of(traffic)
        if endpoint.ready and not endpoint.terminating and (not local or endpoint.node == trace.node)
    ]


def _stale(traffic: Traffic, setting: Setting) -> Iterator[Remark]:
    """Addresses that the API does not list, together for each node and way in."""
    trace = traffic.trace
    unlisted = [
        outcome
        for outcome in trace.outcomes
        if outcome.dnat
        and outcome.to is not None
        and outcome.verdict is Verdict.ACCEPT
        and (outcome.backend is None or not outcome.backend.listed)
    ]
    behind = []
    for outcome in unlisted:
        cause = why_sent_there(traffic, outcome)
        if isinstance(cause, TakenFirst):
            yield TakenByRule(trace.node, trace.via, cause.rule)
        elif isinstance(cause, BehindApi):
            behind.append(outcome)
    if behind:
        yield Stale(
            trace.node,
            trace.via,
            tuple(dict.fromkeys(outcome.to or "" for outcome in behind)),
            _share(behind),
            behind[0].backend if len(behind) == 1 else None,
            trace.node in setting.silent,
        )


def _hidden(traces: Sequence[NodeTrace]) -> Iterator[SourceHidden]:
    """Where endpoints see another source than the client's."""
    arriving: dict[str, list[Outcome]] = {}
    for trace in traces:
        found = [o for o in trace.outcomes if o.verdict is Verdict.ACCEPT and o.dnat]
        arriving.setdefault(trace.node, []).extend(found)
    hidden = {
        name: [outcome.snat is not None for outcome in outcomes]
        for name, outcomes in arriving.items()
        if outcomes
    }
    if hidden and all(all(each) for each in hidden.values()):
        yield SourceHidden(None)
        return
    some = tuple(name for name, each in hidden.items() if any(each))
    if some:
        yield SourceHidden(some, crossing=not all(all(hidden[name]) for name in some))


def _cordoned(
    traces: Sequence[NodeTrace], totals: Sequence[Total], nodes: Mapping[str, Node]
) -> Iterator[Cordoned]:
    """Cordoned nodes that get a share; ``own_entry``: only of what enters there."""
    seen: dict[str, Bounds] = {}
    for total in totals:
        for end in total.ends:
            node = nodes.get(end.node or "")
            if node is not None and node.unschedulable and end.most:
                known = seen.get(node.name, (end.share, end.most))
                seen[node.name] = (max(known[0], end.share), max(known[1], end.most))
    for name, share in seen.items():
        entered = {
            trace.node
            for trace in traces
            if any(outcome.backend and outcome.backend.node == name for outcome in trace.outcomes)
        }
        yield Cordoned(name, share, own_entry=entered == {name})


def _share(outcomes: Iterable[Outcome]) -> Bounds:
    weight = NOTHING
    for outcome in outcomes:
        weight = weight + outcome.weight
    return weight.bounds()


def _crossing(
    service: Service, endpoints: Sequence[Endpoint], traces: Sequence[NodeTrace], *, outside: bool
) -> Iterator[Remark]:
    cause: Literal["externalTrafficPolicy", "internalTrafficPolicy"] = (
        "externalTrafficPolicy" if outside else "internalTrafficPolicy"
    )
    policy = policy_of(service, traces[0].via)
    crossing = []
    for trace in traces:
        away = [
            o for o in trace.outcomes if o.backend and o.backend.node not in (None, trace.node) and o.dnat
        ]
        if away:
            nodes = tuple(sorted({o.backend.node for o in away if o.backend and o.backend.node}))
            crossing.append(Crossing(trace.node, nodes, _share(away), cause))
    if crossing:
        yield from dict.fromkeys(crossing)
        if outside and policy == "Cluster":
            yield _ways_out(service, traces)
    elif policy == "Local":
        without = [
            trace.node
            for trace in traces
            if all(outcome.verdict is not Verdict.ACCEPT for outcome in trace.outcomes)
            and not any(e.node == trace.node and e.ready for e in endpoints)
        ]
        yield StaysLocal(cause, tuple(dict.fromkeys(without)))


def _ways_out(service: Service, traces: Sequence[NodeTrace]) -> WaysOut:
    """Advice that names a node and a pod of this answer: the last one that gets what enters elsewhere."""
    away = [
        outcome.backend
        for trace in traces
        for outcome in trace.outcomes
        if outcome.backend and outcome.backend.pod and outcome.backend.node not in (None, trace.node)
    ]
    pods = sorted({(b.node or "", b.namespace or "", b.pod or "") for b in away})
    node, namespace, pod = pods[-1] if pods else ("NODE", service.namespace, "POD")
    return WaysOut(service.key, node, (namespace, pod), next(iter(service.selector), None))


def _died(service: Service, traces: Iterable[NodeTrace]) -> Iterator[Remark]:
    """What was refused or dropped, and where; alike at several nodes is said once."""
    found: dict[tuple[object, ...], tuple[Died, list[str]]] = {}
    for trace in traces:
        for outcome in trace.outcomes:
            if outcome.verdict is Verdict.ACCEPT:
                continue
            by = _ended_by(outcome.ways[0])
            firewall = isinstance(by, EndedByRule) and by.chain == PROXY_FIREWALL
            guarded = trace.via == "loadbalancer" and firewall
            died = Died(
                (),
                trace.via,
                outcome.verdict,
                outcome.bounds,
                by,
                service.source_ranges if guarded else (),
            )
            key = (died.via, died.verdict, died.share, died.by)
            found.setdefault(key, (died, []))[1].append(trace.node)
    for died, nodes in found.values():
        yield msgspec.structs.replace(died, nodes=tuple(dict.fromkeys(nodes)))


def _ended_by(way: Way) -> EndedBy | None:
    """What ended a way."""
    event = way.last.event if way.last else None
    match event:
        case Matched(place, rule):
            return EndedByRule(place.table, rule.chain, rule.comment)
        case ChainPolicy(place, chain):
            return EndedByPolicy(place.table, chain)
        case Routed(where):
            return EndedByRouting(where)
        case None:
            return None
