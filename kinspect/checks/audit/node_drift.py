"""Nodes that do otherwise than the others for a service that is the same everywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, TypeAlias

from kinspect.checks.audit.traffic import way_of
from kinspect.kubeproxy.endpoints import policy_of
from kinspect.model.answer import Outcome
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.check import ServiceKey
from kinspect.model.odds import ZERO
from kinspect.model.traffic import Traffic

DISAGREE: Final = FindingKind(
    code="KI130",
    title="nodes disagree",
    severity=Severity.WARNING,
    depends=frozenset({"way in", "ends", "endpoints"}),
    means="Under policy Cluster every node sends a service's traffic to the same endpoints in the same shares."
    " Some nodes differ, so where a packet ends depends on the node that it enters.",
    todo="Compare kube-proxy on the nodes listed with the others. The findings on stale and missing endpoints show"
    " which side matches the API.",
    look=("kinspect trace svc/SERVICE -n NAMESPACE --via all",),
    settles=True,
)
KINDS: Final = (DISAGREE,)

_Signature: TypeAlias = frozenset[tuple[object, ...]]
"""Where traffic ends, and how much of it: numbers, which are quick to hash."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a node does with one way in."""

    about: tuple[object, ...]  # the way in: as all nodes that should do alike have it
    said: tuple[ServiceKey, str]  # the same, as it is shown
    does: _Signature


def ballot(traffic: Traffic) -> Ballot | None:
    """What a node does with one way in; None where nodes may do otherwise than others."""
    trace, service = traffic.trace, traffic.service
    hinted = any(e.for_zones or e.for_nodes for e in traffic.endpoints)
    if policy_of(service, trace.via) == "Local" or hinted or trace.undecided or service.other_proxy:
        return None
    front = trace.packet.dport if trace.via == "nodeport" else trace.packet.dst
    # Source ranges tell clients apart; pods and processes differ from node to node anyway.
    client = trace.packet.src if traffic.sources == "outside" else None
    about = (service.key, trace.port, trace.via, traffic.sources, trace.family, front, client)
    return Ballot(about, (service.key, way_of(traffic)), _signature(trace.outcomes))


@dataclass(slots=True)
class Votes:
    """What each node does with each way in of each service, as far as it should be the same."""

    _cast: dict[tuple[object, ...], dict[_Signature, list[str]]] = field(default_factory=dict)
    _said: dict[tuple[object, ...], tuple[ServiceKey, str]] = field(default_factory=dict)

    def cast(self, what: Ballot, node: str) -> None:
        """Note what one node does."""
        self._cast.setdefault(what.about, {}).setdefault(what.does, []).append(node)
        self._said.setdefault(what.about, what.said)

    def add(self, other: Votes) -> None:
        """Note what other nodes do."""
        for about, groups in other._cast.items():
            own = self._cast.setdefault(about, {})
            for does, nodes in groups.items():
                own.setdefault(does, []).extend(nodes)
        for about, said in other._said.items():
            self._said.setdefault(about, said)

    def observations(self) -> Iterator[Observation]:
        """The minorities; where there is no majority, all are named."""
        for key, groups in self._cast.items():
            if len(groups) < 2:
                continue
            service, way = self._said[key]
            ranked = sorted(groups.values(), key=len, reverse=True)
            most, *others = ranked
            if len(most) == len(others[0]):
                odd = sorted(node for nodes in ranked for node in nodes)
                sides = " / ".join(", ".join(sorted(nodes)) for nodes in ranked)
                text = f"these nodes disagree, and neither side has a majority: {sides}"
            else:
                odd = sorted(node for nodes in others for node in nodes)
                text = f"sent elsewhere, or in other shares, than on the {len(most)} other nodes"
            yield Observation(kind=DISAGREE, text=text, service=service, nodes=tuple(odd), ways=(way,))


def _signature(outcomes: Iterable[Outcome]) -> _Signature:
    """Ends and their shares; which source address a packet leaves with is the node's own affair."""
    shares: dict[tuple[object, ...], Fraction] = {}
    for outcome in outcomes:
        to = (int(outcome.address), outcome.port) if outcome.dnat and outcome.address is not None else ()
        end = (outcome.verdict.value, *to)
        shares[end] = shares.get(end, ZERO) + (outcome.weight.exact or ZERO)
    return frozenset((*end, share.numerator, share.denominator) for end, share in shares.items())
