"""The documents of ``kinspect diff`` and ``kinspect rules``: contracts, to which fields are only added."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kinspect.model import cluster
from kinspect.model.drift import (
    ChainDrift,
    DiffAnswer,
    EndpointChange,
    ExpectedAnswer,
    RulesAnswer,
    RulesDrift,
)
from kinspect.model.packet import endpoint_text
from kinspect.report.document import Document, ServiceName, exit_code, opened
from kinspect.report.whatif.document import (
    InferredSetting,
    PredictedService,
    ShareDifference,
    difference_documents,
    effect_document,
    inferred_document,
)  # fmt: skip


class ChainDifference(msgspec.Struct, rename="camel", kw_only=True):
    """One chain that is otherwise."""

    table: str
    chain: str
    service_port: Annotated[str | None, Meta(description="What it is about, if one service port.")]
    missing: list[str]
    surplus: list[str]
    absent: Annotated[bool, Meta(description="The chain is not there at all.")]
    left_over: Annotated[bool, Meta(description="The chain should not be there.")]
    order: Annotated[bool, Meta(description="The same rules, in another order that matters.")]


class RulesDifference(msgspec.Struct, rename="camel", kw_only=True):
    """One dump of a node."""

    node: str
    family: Literal[4, 6]
    source: str
    in_sync: bool
    services: list[str]
    changed: Annotated[str | None, Meta(description="When the API last changed what the chains are about.")]
    missing: int
    surplus: int
    chains: list[ChainDifference]


class EndpointState(msgspec.Struct, kw_only=True):
    """An endpoint as the API lists it."""

    address: str
    port: str
    protocol: str
    ready: bool
    serving: bool
    terminating: bool
    node: str | None
    pod: str | None


class EndpointDifference(msgspec.Struct, kw_only=True):
    """An endpoint before and after; null: not listed."""

    service: ServiceName
    before: EndpointState | None
    after: EndpointState | None


class RulesOfNode(msgspec.Struct, kw_only=True):
    """kube-proxy's rules of one family on a node, as iptables-save text."""

    node: str
    family: Literal[4, 6]
    source: str
    text: str


class DriftDocument(Document, kw_only=True):
    """The answer of kinspect diff --expected: missing rules should be there, surplus ones should not."""

    kind: Literal["Drift"] = "Drift"
    verdict: Literal["in-sync", "differs", "undetermined"]
    rules: list[RulesDifference]
    inferred: list[InferredSetting]


class DiffDocument(Document, kw_only=True):
    """The answer of kinspect diff BEFORE AFTER: missing rules are new, surplus ones are gone."""

    kind: Literal["Diff"] = "Diff"
    before: str
    after: str
    differences: list[ShareDifference]
    services: list[PredictedService]
    endpoints: list[EndpointDifference]
    rules: list[RulesDifference]
    only_before: list[str]
    only_after: list[str]


class RulesDocument(Document, kw_only=True):
    """The answer of kinspect rules."""

    kind: Literal["Rules"] = "Rules"
    expected: bool
    rules: list[RulesOfNode]


def expected_document(answer: ExpectedAnswer) -> DriftDocument:
    """Each node's rules against those that kube-proxy would write."""
    verdict: Literal["in-sync", "differs", "undetermined"] = "undetermined"
    if answer.status != "undetermined":
        verdict = "differs" if answer.status == "violated" else "in-sync"
    return DriftDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened(answer.undetermined),
        warnings=list(answer.diagnostics.warnings),
        verdict=verdict,
        rules=[_rules(each) for each in answer.rules],
        inferred=[inferred_document(each) for each in answer.inferred],
    )


def diff_document(answer: DiffAnswer) -> DiffDocument:
    """Two states: traffic first, then endpoints, then rules."""
    return DiffDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened(answer.undetermined),
        warnings=list(answer.diagnostics.warnings),
        before=answer.before,
        after=answer.after,
        differences=[each for effect in answer.effects for each in difference_documents(effect)],
        services=[effect_document(effect) for effect in answer.effects],
        endpoints=[_endpoint_change(each) for each in answer.endpoints],
        rules=[_rules(each) for each in answer.rules],
        only_before=list(answer.only_before),
        only_after=list(answer.only_after),
    )


def rules_document(answer: RulesAnswer) -> RulesDocument:
    """kube-proxy's rules as text."""
    return RulesDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened(answer.undetermined),
        warnings=list(answer.diagnostics.warnings),
        expected=answer.expected,
        rules=[RulesOfNode(node=e.node, family=e.family, source=e.source, text=e.text) for e in answer.rules],
    )


def _rules(each: RulesDrift) -> RulesDifference:
    return RulesDifference(
        node=each.node,
        family=each.family,
        source=each.source,
        in_sync=not each.chains,
        services=list(each.services),
        changed=each.changed,
        missing=each.missing,
        surplus=each.surplus,
        chains=[_chain(chain) for chain in each.chains],
    )


def _chain(chain: ChainDrift) -> ChainDifference:
    return ChainDifference(
        table=chain.table,
        chain=chain.chain,
        service_port=chain.service_port,
        missing=list(chain.missing),
        surplus=list(chain.surplus),
        absent=chain.absent,
        left_over=chain.left_over,
        order=chain.order,
    )


def _endpoint_change(each: EndpointChange) -> EndpointDifference:
    namespace, name = each.service
    return EndpointDifference(
        service=ServiceName(namespace=namespace, name=name),
        before=_endpoint(each.before),
        after=_endpoint(each.after),
    )


def _endpoint(endpoint: cluster.Endpoint | None) -> EndpointState | None:
    if endpoint is None:
        return None
    return EndpointState(
        address=endpoint_text(endpoint.address, endpoint.port),
        port=endpoint.port_name,
        protocol=endpoint.protocol.lower(),
        ready=endpoint.ready,
        serving=endpoint.serving,
        terminating=endpoint.terminating,
        node=endpoint.node,
        pod=endpoint.pod[1] if endpoint.pod else None,
    )
