"""All that audit looks for in traffic: a row for each family of findings.

``pipeline.audit`` asks each row about each class of traffic at each node, unless it is known from
another node that nothing is found (``seen_healthy``): that is known only for rows all of whose kinds
depend on nothing but what the memory tells traffic apart by.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from kinspect.checks.assertions.in_sync import in_sync
from kinspect.checks.audit import no_endpoints, traffic
from kinspect.checks.audit.traffic import Owners
from kinspect.checks.common import RulesOf
from kinspect.kubeproxy.endpoints import Zones
from kinspect.model.audit import FindingKind, Observation
from kinspect.model.check import ServiceKey
from kinspect.model.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Context:
    """What is known besides the traffic."""

    zones: Zones
    owners: Owners
    rules_of: RulesOf
    changed: Collection[ServiceKey] = ()  # services whose endpoints changed while they were read


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found in traffic; ``well``: there was nothing that could have been found."""

    observations: tuple[Observation, ...]
    well: bool
    without_jump: bool = False  # nothing leads to kube-proxy's rules, which is a finding about the node


Examine: TypeAlias = Callable[[Traffic, Context], Examined]


@dataclass(frozen=True, slots=True)
class TrafficFindings:
    """A family of findings: its kinds, and how they are found."""

    kinds: tuple[FindingKind, ...]
    examine: Examine


def _astray(found: Traffic, context: Context) -> Examined:
    differences = list(in_sync([found], context.zones, context.rules_of))
    if not differences:
        return Examined((), well=True)
    moved = found.service.key in context.changed
    observations = tuple(traffic.astray(found, differences, context.owners, moved=moved))
    lost = any(traffic.follows_from_missing_jump(each.cause) for each in differences)
    return Examined(observations, well=False, without_jump=lost)


def _empty(found: Traffic, context: Context) -> Examined:
    observations = tuple(no_endpoints.empty(found, context.zones))
    return Examined(observations, well=not observations)


FAMILIES: Final = (
    TrafficFindings(no_endpoints.KINDS, _empty),
    TrafficFindings(traffic.KINDS, _astray),
)
