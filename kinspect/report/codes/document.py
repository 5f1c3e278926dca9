"""The document of codes: what each means, and what to do about it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kinspect.model.codes import CodePages
from kinspect.report.document import Document, exit_code


class CodeEntry(msgspec.Struct, kw_only=True):
    """A code that documents, JUnit reports and annotations use."""

    code: str
    of: Annotated[str, Meta(description="What it is a code of.")]
    title: Annotated[str | None, Meta(description="Of a finding of audit.")]
    severity: Literal["error", "warning", "info"] | None
    means: str
    todo: str | None
    look: Annotated[list[str], Meta(description="Commands to see it by hand.")]
    settles: Annotated[bool, Meta(description="Whether a change under way looks the same for a moment.")]


class CodesDocument(Document, kw_only=True):
    """The answer of kinspect explain."""

    kind: Literal["Codes"] = "Codes"
    codes: list[CodeEntry]


def codes_document(answer: CodePages) -> CodesDocument:
    """The document of some codes, or of all."""
    return CodesDocument(
        exit_code=exit_code(answer.status),
        undetermined=[],
        warnings=[],
        codes=[
            CodeEntry(
                code=page.code,
                of=page.of,
                title=page.title,
                severity=page.severity,
                means=page.means,
                todo=page.todo,
                look=list(page.look),
                settles=page.settles,
            )
            for page in answer.pages
        ],
    )
