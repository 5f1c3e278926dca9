"""The document of a what-if answer: the changes, traffic before and after, and what else follows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kinspect.model import changes as kinds
from kinspect.model.answer import Bounds, TraceAnswer, Via
from kinspect.model.changes import Change, Cordon
from kinspect.model.codes import code_of
from kinspect.model.diagnostics import Undetermined
from kinspect.model.whatif import (
    Consequence,
    Difference,
    Frontend,
    Inferred,
    Replacement,
    ServiceEffect,
    WhatIfAnswer,
)  # fmt: skip
from kinspect.report.check import document as of_check
from kinspect.report.check.document import CheckDocument, check_document
from kinspect.report.document import Document, ServiceName, Share, TwoShares, exit_code, opened
from kinspect.report.numbers import number
from kinspect.report.trace import document as of_trace
from kinspect.report.trace.document import TraceDocument, trace_document
from kinspect.report.whatif.words import (
    change_text,
    changes,
    connection_lines,
    consequence_text,
    headline,
    replacement_text,
)  # fmt: skip

_ACTIONS: Final[dict[type, str]] = {
    kinds.SetField: "set", kinds.Relabel: "relabel", kinds.Cordon: "cordon", kinds.Drain: "drain",
    kinds.Remove: "without", kinds.Unready: "unready", kinds.Terminate: "terminating", kinds.AddPods: "add",
    kinds.Apply: "apply", kinds.Delete: "delete",
}  # fmt: skip

ChangeFields = Annotated[
    dict[str, Any], Meta(description="change (the option that makes it), text, and its own fields.")
]
ConsequenceFields = Annotated[
    dict[str, Any], Meta(description="code (kinspect explain lists them), text, and its own fields.")
]


class PredictedShare(msgspec.Struct, kw_only=True):
    """A share of packets."""

    share: Share
    bounds: TwoShares


class PredictedDestination(PredictedShare, kw_only=True):
    """The share that ends on a node."""

    node: str | None


class PredictedEnd(msgspec.Struct, kw_only=True):
    """A pod and its node."""

    namespace: str | None
    pod: str | None
    node: str | None


class ServiceFrontend(msgspec.Struct, kw_only=True):
    """A way into a service; without an address a NodePort, at every node."""

    via: Via
    address: str | None
    port: int | None
    protocol: str


class ShareDifference(msgspec.Struct, kw_only=True):
    """The share of one end, before and after, of what enters at a node."""

    service: ServiceName
    node: str
    via: Via
    sender: str = msgspec.field(name="from")
    family: Literal[4, 6]
    port: str | None
    verdict: Literal["ACCEPT", "DROP", "REJECT", "QUEUE"]
    to: str | None
    endpoint: PredictedEnd | None
    before: PredictedShare
    after: PredictedShare


class PredictedService(ServiceName, rename="camel", kw_only=True):
    """A service and its traffic before and after; null where it is not there."""

    changes: bool
    before: TraceDocument | None
    after: TraceDocument | None
    opened: list[ServiceFrontend]
    closed: list[ServiceFrontend]
    no_path: Annotated[str | None, Meta(description="Why there is nothing to trace.")]


class PlacementShares(msgspec.Struct, kw_only=True):
    """Traffic if all pods that replace others run on one node."""

    node: str
    destinations: list[PredictedDestination]
    lost: PredictedShare


class ServiceReplacement(msgspec.Struct, kw_only=True):
    """What becomes of a service when its pods were replaced."""

    service: ServiceName
    pods: int
    text: str
    placements: list[PlacementShares]


class InferredSetting(msgspec.Struct, kw_only=True):
    """A setting of a node's kube-proxy, and the rule that shows it."""

    node: str
    family: Literal[4, 6]
    setting: str
    value: str
    rule: Annotated[str | None, Meta(description="null: the default, which no rule shows.")]


class LaggingNode(msgspec.Struct, kw_only=True):
    """A node whose rules are behind the API already."""

    node: str
    services: list[str]


class RewrittenNode(msgspec.Struct, kw_only=True):
    """How many chains of a node the change rewrites."""

    node: str
    chains: int


class WhatIfDocument(Document, kw_only=True):
    """The answer of kinspect whatif."""

    kind: Literal["WhatIf"] = "WhatIf"
    summary: list[str]
    changes: list[ChangeFields]
    before: TraceDocument | None
    after: TraceDocument | None
    differences: list[ShareDifference]
    services: list[PredictedService]
    consequences: list[ConsequenceFields]
    replacements: list[ServiceReplacement]
    connections: list[str]
    inferred: list[InferredSetting]
    lagging: list[LaggingNode]
    rewritten: list[RewrittenNode]
    check: CheckDocument | UnsetType = UNSET


def whatif_document(answer: WhatIfAnswer) -> WhatIfDocument:
    """The document of an answer; ``before`` and ``after`` are documents of trace."""
    shown = next((e for e in answer.effects if answer.target in (None, e.service)), None)
    return WhatIfDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened(_open(answer)),
        warnings=list(answer.diagnostics.warnings),
        summary=list(headline(answer)),
        changes=[_change(change) for change in answer.changes],
        before=_trace(shown.before if shown else None),
        after=_trace(shown.after if shown else None),
        differences=[each for effect in answer.effects for each in difference_documents(effect)],
        services=[effect_document(effect) for effect in answer.effects],
        consequences=[_consequence(each) for each in answer.consequences],
        replacements=[_replacement(each) for each in answer.replacements],
        connections=list(connection_lines(answer)),
        inferred=[inferred_document(each) for each in answer.inferred],
        lagging=[LaggingNode(node=each.node, services=list(each.services)) for each in answer.lagging],
        rewritten=[RewrittenNode(node=node, chains=chains) for node, chains in answer.rewritten],
        check=check_document(answer.checked) if answer.checked is not None else UNSET,
    )


def inferred_document(each: Inferred) -> InferredSetting:
    """A setting of a node's kube-proxy."""
    return InferredSetting(
        node=each.node, family=each.family, setting=each.setting, value=each.value, rule=each.rule
    )


def _open(answer: WhatIfAnswer) -> Iterator[Undetermined]:
    yield from answer.undetermined
    for effect in answer.effects:
        for traced in (effect.before, effect.after):
            if traced is not None:
                yield from of_trace.open_facts(traced)
    if answer.checked is not None:
        yield from of_check.open_facts(answer.checked)


def _change(change: Change) -> dict[str, Any]:
    action = _ACTIONS[type(change)]
    if isinstance(change, Cordon) and not change.on:
        action = "uncordon"
    return {"change": action, "text": change_text(change), **msgspec.to_builtins(change)}


def _trace(answer: TraceAnswer | None) -> TraceDocument | None:
    return trace_document(answer) if answer is not None else None


def effect_document(effect: ServiceEffect) -> PredictedService:
    """One service, before and after."""
    return PredictedService(
        namespace=effect.service[0],
        name=effect.service[1],
        changes=bool(changes(effect)),
        before=_trace(effect.before),
        after=_trace(effect.after),
        opened=[_front(front) for front in effect.opened],
        closed=[_front(front) for front in effect.closed],
        no_path=effect.no_path,
    )


def _front(front: Frontend) -> ServiceFrontend:
    address = None if front.address is None else str(front.address)
    port = front.port.node_port if address is None else front.port.port
    return ServiceFrontend(via=front.via, address=address, port=port, protocol=front.port.protocol.lower())


def difference_documents(effect: ServiceEffect) -> Iterator[ShareDifference]:
    """The shares that differ for a service."""
    namespace, name = effect.service
    for each in effect.differences:
        yield _difference(ServiceName(namespace=namespace, name=name), each)


def _difference(service: ServiceName, each: Difference) -> ShareDifference:
    owner = each.owner
    endpoint = None
    if owner is not None and (owner.pod or owner.node):
        endpoint = PredictedEnd(namespace=owner.namespace, pod=owner.pod, node=owner.node)
    return ShareDifference(
        service=service,
        node=each.node,
        via=each.via,
        sender=each.origin,
        family=each.family,
        port=each.port.name if each.port else None,
        verdict=each.verdict.value,
        to=each.to,
        endpoint=endpoint,
        before=_share(each.before),
        after=_share(each.after),
    )


def _share(bounds: Bounds) -> PredictedShare:
    low, high = map(number, bounds)
    return PredictedShare(share=low, bounds=[low, high])


def _consequence(each: Consequence) -> dict[str, Any]:
    return {"code": code_of(each), "text": consequence_text(each), **msgspec.to_builtins(each)}


def _replacement(each: Replacement) -> ServiceReplacement:
    return ServiceReplacement(
        service=ServiceName(namespace=each.service[0], name=each.service[1]),
        pods=each.pods,
        text=replacement_text(each),
        placements=[
            PlacementShares(
                node=placement.placement,
                destinations=[
                    PredictedDestination(node=node, share=number(low), bounds=[number(low), number(high)])
                    for node, (low, high) in placement.nodes
                ],
                lost=_share(placement.lost),
            )
            for placement in each.placements
        ],
    )
