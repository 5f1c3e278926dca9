"""A change, its consequences, and traffic before and after."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from kinspect.errors import Status
from kinspect.model.answer import Bounds, TraceAnswer, Via
from kinspect.model.changes import Change, Key
from kinspect.model.check import CheckAnswer
from kinspect.model.cluster import EndpointOwner, ServicePort
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined
from kinspect.model.packet import Address, Family, endpoint_text
from kinspect.model.rules import Verdict


class Placeholder(msgspec.Struct, frozen=True):
    """A value that is chosen later; ``value`` is a placeholder from the right range."""

    what: Literal["cluster IP", "NodePort", "health check NodePort", "pod address"]
    of: str
    value: str
    by: str


class Evicted(msgspec.Struct, frozen=True):
    """What a drain evicts, and what it leaves: pods by namespace and name."""

    node: str
    pods: tuple[Key, ...]
    daemon_set: tuple[Key, ...]
    static: tuple[Key, ...]
    replaced: tuple[Key, ...]  # evicted pods that a controller replaces, somewhere
    bare: tuple[Key, ...]  # evicted pods without a controller: kubectl needs --force


class Replaced(msgspec.Struct, frozen=True):
    """A removed pod belongs to a controller, which makes another one: where is not known."""

    pod: Key
    owner: str


class NoEffect(msgspec.Struct, frozen=True):
    """A change that does not affect rules, although one might expect it to."""

    why: Literal["cordon", "uncordon", "node-label", "same", "pod-label", "already"]
    what: str


class NotFromPods(msgspec.Struct, frozen=True):
    """A service's EndpointSlices do not match its pods: only endpoints with the pods' names were changed."""

    service: str


class HintsKept(msgspec.Struct, frozen=True):
    """A service whose hints follow the nodes' CPUs (topology-mode: Auto): they stay unchanged."""

    service: str


class NoAddress(msgspec.Struct, frozen=True):
    """A service of type LoadBalancer gets its address from a provider: it is not known yet."""

    service: str


class Unscheduled(msgspec.Struct, frozen=True):
    """A pod that a manifest creates: the node on which it will run is not known."""

    pod: str


Consequence: TypeAlias = (
    Placeholder | Evicted | Replaced | NoEffect | NotFromPods | HintsKept | NoAddress | Unscheduled
)
"""A consequence of a change, apart from traffic."""


class Inferred(msgspec.Struct, frozen=True):
    """A setting of a node's kube-proxy, and the rule that shows it; None: the default, no rule shows it."""

    node: str
    family: Family
    setting: str
    value: str
    rule: str | None


class Frontend(msgspec.Struct, frozen=True):
    """An address and port, or a NodePort, that leads into a service."""

    via: Via
    port: ServicePort
    address: Address | None  # None: a NodePort, at every node

    def __str__(self) -> str:
        if self.address is None:
            return f"NodePort {self.port.node_port}/{self.port.protocol.lower()}"
        return endpoint_text(self.address, self.port.port)


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The share of one end, before and after, of what enters at a node by one way in."""

    node: str
    via: Via
    port: ServicePort | None
    family: Family
    origin: str
    verdict: Verdict
    to: str | None
    owner: EndpointOwner | None
    before: Bounds
    after: Bounds

    @property
    def died(self) -> bool:
        """Whether packets end there without being delivered."""
        return self.to is None


class ServiceEffect(msgspec.Struct, frozen=True, kw_only=True):
    """One service: its traffic before and after, None if it does not exist, and the differences."""

    service: Key
    before: TraceAnswer | None = None
    after: TraceAnswer | None = None
    differences: tuple[Difference, ...] = ()
    opened: tuple[Frontend, ...] = ()
    closed: tuple[Frontend, ...] = ()
    no_path: str | None = None  # why there is nothing to trace


class Lagging(msgspec.Struct, frozen=True):
    """A node whose rules already differ from the API, and the affected services."""

    node: str
    services: tuple[str, ...]


class Shares(msgspec.Struct, frozen=True):
    """The share of a node, by its name, in one placement of the pods that replace evicted ones."""

    placement: str  # the node that all of them run on
    nodes: tuple[tuple[str | None, Bounds], ...]
    lost: Bounds


class Replacement(msgspec.Struct, frozen=True):
    """A service's traffic after removed pods were replaced, for each node that they may run on."""

    service: Key
    pods: int
    placements: tuple[Shares, ...]


class WhatIfAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kinspect whatif`` answers. ``target`` is the service that the call named."""

    changes: tuple[Change, ...]
    target: Key | None
    effects: tuple[ServiceEffect, ...]
    consequences: tuple[Consequence, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    inferred: tuple[Inferred, ...] = ()
    lagging: tuple[Lagging, ...] = ()
    rewritten: tuple[tuple[str, int], ...] = ()  # nodes, and how many of their chains differ
    checked: CheckAnswer | None = None
    diagnostics: Diagnostics = NONE

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """Unknowns that the answer depends on."""
        return self.diagnostics.undetermined

    @property
    def status(self) -> Status:
        """A failed assertion takes precedence over unknowns."""
        if self.checked is not None and self.checked.status == "violated":
            return "violated"
        undecided = any(
            answer is not None and not answer.complete
            for effect in self.effects
            for answer in (effect.before, effect.after)
        )
        unchecked = self.checked is not None and self.checked.status != "answered"
        return "undetermined" if self.undetermined or undecided or unchecked else "answered"
