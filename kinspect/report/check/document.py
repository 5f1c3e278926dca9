"""The document of a check: for each assertion its verdict, and the findings against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kinspect.model.answer import Bounds, Via
from kinspect.model.check import AssertionResult, CheckAnswer, Finding, Reaches, Standing
from kinspect.model.cluster import EndpointOwner
from kinspect.model.codes import code_of
from kinspect.model.diagnostics import Undetermined
from kinspect.model.flows import FlowsRow
from kinspect.model.packet import SocketAddress
from kinspect.model.traffic import SenderClass
from kinspect.report.check.words import finding_text, note_text
from kinspect.report.document import (
    Document,
    Endpoint,
    NotExact,
    Probability,
    RuleText,
    ServiceName,
    Share,
    TwoShares,
    endpoint,
    exit_code,
    opened,
    rule_text,
    shares,
)
from kinspect.report.questions import open_question

Verdict = Literal["holds", "violated", "undetermined"]


class PortName(msgspec.Struct, kw_only=True):
    """A port of a service."""

    name: str
    port: int
    protocol: str


class HeldConnections(msgspec.Struct, kw_only=True):
    """Connections that exist, counted: by state, by entry node, by why they are stale."""

    count: int
    states: dict[str, int]
    entered: dict[str, int]
    idle: Annotated[int | None, Meta(description="The longest, in seconds; null if that is not known.")]
    stale: dict[str, int]


class CheckFinding(msgspec.Struct, kw_only=True):
    """One problem of one way in. Fields about the way in are null if the service does not have it."""

    code: Annotated[str, Meta(description="One of those that kinspect explain lists.")]
    standing: Annotated[
        Standing,
        Meta(description="excused: it does not count, as a DaemonSet's pod or what the caller allows."),
    ]
    service: ServiceName | None
    port: PortName | None
    via: Via | None
    sender: Annotated[SenderClass | None, Meta(description="The class of senders.")] = msgspec.field(
        name="from"
    )
    node: Annotated[str | None, Meta(description="Where the traffic enters.")]
    client: Annotated[str | None, Meta(description="The address that stands for the senders.")]
    frontend: Annotated[str | None, Meta(description="The address and port that they send to.")]
    family: Literal[4, 6] | None
    to: Annotated[str | None, Meta(description="The address and port where it ends.")]
    endpoint: Endpoint | None
    connections: Annotated[
        HeldConnections | None, Meta(description="Of StillConnected and EnteredThere: those that exist.")
    ]
    what: Annotated[
        Literal["endpoint", "unlisted", "terminating", "daemonset", "unowned"] | None,
        Meta(description="Of Reaches: what it reaches."),
    ]
    probability: Probability | None
    exact: NotExact | UnsetType = UNSET
    share: Share | None
    bounds: TwoShares | None
    conditions: Annotated[list[str], Meta(description="What it depends on, where bounds differ.")]
    rule: Annotated[RuleText | None, Meta(description="The rule that does it; null where none does.")]
    text: str


class CheckedAssertion(msgspec.Struct, kw_only=True):
    """An assertion and its result."""

    name: str
    claim: Annotated[str, Meta(description="One of those that kinspect explain lists.")]
    verdict: Verdict
    services: Annotated[int, Meta(description="How many it was asserted of.")]
    nodes: Annotated[list[str], Meta(description="Those that should get nothing.")]
    findings: list[CheckFinding]


class CheckDocument(Document, kw_only=True):
    """The answer of kinspect check."""

    kind: Literal["Check"] = "Check"
    verdict: Annotated[Verdict, Meta(description="Over all assertions.")]
    assertions: list[CheckedAssertion]
    notes: list[str]


def check_document(answer: CheckAnswer) -> CheckDocument:
    """The document of an answer."""
    return CheckDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened(open_facts(answer)),
        warnings=list(answer.warnings),
        verdict=answer.standing(),
        assertions=[_assertion(answer, judged) for judged in answer.judged],
        notes=[note_text(note) for note in answer.notes],
    )


def open_facts(answer: CheckAnswer) -> Iterator[Undetermined]:
    """All unknowns: what could not be read, and what possible violations depend on.

    It is the finding itself if that names no question.
    """
    yield from answer.undetermined
    for judged in answer.judged:
        for finding in judged.findings:
            if finding.standing != "undetermined":
                continue
            node = finding.entry.node if finding.entry else None
            for question in finding.questions:
                yield open_question(question, node)
            if not finding.questions:
                yield Undetermined(text=finding_text(finding), code=code_of(finding.problem), node=node)


def _assertion(answer: CheckAnswer, judged: AssertionResult) -> CheckedAssertion:
    return CheckedAssertion(
        name=judged.assertion.name,
        claim=code_of(judged.assertion.claim),
        verdict=answer.standing(judged),
        services=len(judged.services),
        nodes=list(judged.nodes),
        findings=[_finding(finding) for finding in judged.findings],
    )


def _finding(finding: Finding) -> CheckFinding:
    entry, problem = finding.entry, finding.problem
    port = entry.port if entry else None
    row: FlowsRow | None = getattr(problem, "row", None)
    to: SocketAddress | str | None = getattr(problem, "to", row.to if row else None)
    owner: EndpointOwner | None = getattr(problem, "backend", row.endpoint if row else None)
    share: Bounds | None = getattr(problem, "share", None)
    probability, exact, least, bounds = shares(share) if share else (None, UNSET, None, None)
    return CheckFinding(
        code=code_of(problem),
        standing=finding.standing,
        service=ServiceName(namespace=finding.service[0], name=finding.service[1])
        if finding.service
        else None,
        port=PortName(name=port.name, port=port.port, protocol=port.protocol) if port else None,
        via=entry.via if entry else None,
        sender=entry.sources if entry else None,
        node=entry.node if entry else None,
        client=str(entry.client) if entry else None,
        frontend=str(entry.frontend) if entry else None,
        family=entry.family if entry else None,
        to=str(to) if to is not None else None,
        endpoint=endpoint(owner),
        connections=_connections(row) if row else None,
        what=problem.what if isinstance(problem, Reaches) else None,
        probability=probability,
        exact=exact,
        share=least,
        bounds=bounds,
        conditions=[question.text for question in finding.questions],
        rule=rule_text(finding.rule) if finding.rule else None,
        text=finding_text(finding),
    )


def _connections(row: FlowsRow) -> HeldConnections:
    return HeldConnections(
        count=row.connections,
        states=dict(row.states),
        entered=dict(row.entered),
        idle=row.idle,
        stale=dict(row.stale),
    )
