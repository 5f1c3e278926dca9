"""The document of an audit: each finding with its code, its severity, its evidence and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kinspect.model.audit import AuditAnswer, Observation
from kinspect.model.diagnostics import Undetermined
from kinspect.report.audit.words import MOVED, observation_text, subject_text
from kinspect.report.document import (
    Document,
    RuleText,
    ServiceName,
    exit_code,
    opened,
    rule_text,
)
from kinspect.report.questions import open_question


class AuditFinding(msgspec.Struct, kw_only=True):
    """Something that is wrong, or may be: with conditions, or moved, it is not sure."""

    code: Annotated[str, Meta(pattern="^KI[0-9]{3}$", description="kinspect explain CODE has a page on it.")]
    severity: Literal["error", "warning", "info"]
    title: str
    service: Annotated[ServiceName | None, Meta(description="null: it is about nodes alone.")]
    nodes: list[str]
    ways: Annotated[list[str], Meta(description="The ways in that show it.")]
    text: str
    evidence: list[RuleText]
    conditions: Annotated[list[str], Meta(description="What it depends on.")]
    moved: Annotated[bool, Meta(description="Whether the service's endpoints changed while it was read.")]
    known: Annotated[bool, Meta(description="Whether the baseline has it, so that it does not count.")]
    todo: str


class AuditDocument(Document, kw_only=True):
    """The answer of kinspect audit."""

    kind: Literal["Audit"] = "Audit"
    services: Annotated[int, Meta(description="How many were looked at.")]
    nodes: list[str]
    findings: list[AuditFinding]


def audit_document(answer: AuditAnswer) -> AuditDocument:
    """The document of an answer."""
    return AuditDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened([*answer.undetermined, *_questions(answer)]),
        warnings=list(answer.warnings),
        services=answer.services,
        nodes=list(answer.nodes),
        findings=[
            *(_finding(found) for found in answer.observations),
            *(_finding(found, known=True) for found in answer.known),
        ],
    )


def _questions(answer: AuditAnswer) -> Iterator[Undetermined]:
    for found in answer.observations:
        node = found.nodes[0] if len(found.nodes) == 1 else None
        for question in found.questions:
            yield open_question(question, node)
        if found.moved:
            yield Undetermined(text=f"{subject_text(found)}: {MOVED}", code="changed", node=node)


def _finding(found: Observation, *, known: bool = False) -> AuditFinding:
    return AuditFinding(
        code=found.kind.code,
        severity=found.severity.value,
        title=found.kind.title,
        service=ServiceName(namespace=found.service[0], name=found.service[1]) if found.service else None,
        nodes=list(found.nodes),
        ways=list(found.ways),
        text=observation_text(found),
        evidence=[rule_text(rule) for rule in found.evidence],
        conditions=[question.text for question in found.questions],
        moved=found.moved,
        known=known,
        todo=found.kind.todo,
    )
