"""One service in two states of a cluster: its traffic in both, and what differs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from kinspect.errors import CallError, NotFound
from kinspect.model.answer import NodeTrace, Outcome, TraceAnswer, Via
from kinspect.model.changes import Key
from kinspect.model.cluster import Service
from kinspect.model.odds import NOTHING
from kinspect.model.packet import Family
from kinspect.model.whatif import Difference, Frontend, ServiceEffect
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.user.target import Sender, ServiceTarget
from kinspect.pipeline.gather.read import Facts
from kinspect.pipeline.trace import TraceRequest, of_target
from kinspect.pipeline.traffic.probes import VIAS, default_vias


@dataclass(frozen=True, slots=True)
class Ways:
    """How services are entered: the namespace in use, by which ways, at which nodes, by whom."""

    namespace: str
    via: Via | Literal["all"] | None = None
    entry: Mapping[str, Fraction] | None = None
    sender: Sender | None = None
    family: Family | None = None


def effect_of(key: Key, before: Facts, after: Facts, ways: Ways, port: str | None = None) -> ServiceEffect:
    """What differs for a service. Raises NotFound if it is in neither state."""
    old, new = _service(before.cluster, key), _service(after.cluster, key)
    if old is None and new is None:
        raise NotFound(f"there is no service {'/'.join(key)}, and no change makes it")
    vias = _vias(ways, old, new)
    left, why_left = _traced(before, old, ways, vias, port)
    right, why_right = _traced(after, new, ways, vias, port)
    fronts, now = frontends(old), frontends(new)
    return ServiceEffect(
        service=key,
        before=left,
        after=right,
        differences=tuple(differences(left, right)),
        opened=tuple(front for name, front in now.items() if name not in fronts),
        closed=tuple(front for name, front in fronts.items() if name not in now),
        no_path=why_right or why_left,
    )


def _vias(ways: Ways, old: Service | None, new: Service | None) -> tuple[Via, ...]:
    """The ways in of before and of after, unless one is asked for."""
    if ways.via == "all":
        return VIAS
    if ways.via is not None:
        return (ways.via,)
    found: dict[Via, None] = {}
    for service in (old, new):
        if service is not None:
            found |= dict.fromkeys(default_vias(service, ways.sender))
            if service.external_ips and ways.sender is None:
                found["externalip"] = None
    # What a change of the internal policy does is seen at the cluster IP only.
    if old and new and old.internal_policy != new.internal_policy:
        found["clusterip"] = None
    return tuple(found)


def _traced(
    facts: Facts, service: Service | None, ways: Ways, vias: tuple[Via, ...], port: str | None
) -> tuple[TraceAnswer | None, str | None]:
    """A service's trace; or why there is nothing to trace."""
    if service is None:
        return None, None
    request = TraceRequest(
        target=ServiceTarget(service.name, service.namespace, port),
        vias=vias,
        entry=ways.entry,
        sender=ways.sender,
        family=ways.family,
    )
    try:
        return of_target(request, facts, ways.namespace), None
    except CallError as error:
        return None, error.message


def _service(cluster: Cluster, key: Key) -> Service | None:
    return cluster.service(*key) if cluster.has_service(key) else None


def frontends(service: Service | None) -> dict[str, Frontend]:
    """A service's ways in, by their text."""
    if service is None or service.headless:
        return {}
    found: list[Frontend] = []
    addresses: Iterable[tuple[Via, Sequence[object]]] = (
        ("clusterip", service.cluster_ips),
        ("externalip", service.external_ips),
        ("loadbalancer", service.load_balancer_ips),
    )
    for port in service.ports:
        for via, each in addresses:
            found += [Frontend(via, port, address) for address in each]  # type: ignore[arg-type]
        if port.node_port:
            found.append(Frontend("nodeport", port, None))
    return {f"{front.via} {front}": front for front in found}


def differences(before: TraceAnswer | None, after: TraceAnswer | None) -> list[Difference]:
    """The ends whose share is another one after than before, way by way."""
    old, new = _ways(before), _ways(after)
    found = []
    for key in dict.fromkeys([*old, *new]):
        was, now = old.get(key), new.get(key)
        if was is None or now is None:
            continue  # a way in that opens or closes: said apart
        left, right = _ends(was), _ends(now)
        for end in dict.fromkeys([*left, *right]):
            shares = [_share(left.get(end, ())), _share(right.get(end, ()))]
            if shares[0] == shares[1]:
                continue
            first = (right.get(end) or left[end])[0]
            found.append(
                Difference(
                    node=now.node,
                    via=now.via,
                    port=now.port,
                    family=now.family,
                    origin=now.origin,
                    verdict=first.verdict,
                    to=first.to,
                    owner=first.backend,
                    before=shares[0],
                    after=shares[1],
                )
            )
    return found


def _ways(answer: TraceAnswer | None) -> dict[tuple[object, ...], NodeTrace]:
    """Traces by what enters where."""
    found: dict[tuple[object, ...], NodeTrace] = {}
    for trace in answer.traces if answer is not None else ():
        packet = trace.packet
        front = packet.dport if trace.via == "nodeport" else (packet.dst, packet.dport)
        found[trace.node, trace.via, trace.family, packet.protocol, front, packet.src] = trace
    return found


def _ends(trace: NodeTrace) -> dict[tuple[object, ...], list[Outcome]]:
    found: dict[tuple[object, ...], list[Outcome]] = {}
    for outcome in trace.outcomes:
        found.setdefault((outcome.verdict, outcome.to), []).append(outcome)
    return found


def _share(outcomes: Sequence[Outcome]) -> tuple[Fraction, Fraction]:
    weight = NOTHING
    for outcome in outcomes:
        weight = weight + outcome.weight
    return weight.bounds() if outcomes else (Fraction(0), Fraction(0))
