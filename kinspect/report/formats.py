"""One table: each answer, and its form in each format.

A new format of an answer is one row in ``ANSWERS``, and its module; one that writes any document is a row in
``document.WRITERS``. A new answer is an ``Answer`` here: its type, the function that makes its document, and
how people see it. Modules are named, not imported: only those of the format asked for are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final, cast

from kinspect.report.screen import View

DOCUMENTS: Final = ("json", "yaml")
"""Formats that every answer has; ``document.WRITERS`` writes them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer's type, its document, and its other formats. Functions are named from this package on.

    ``document`` takes an answer and gives a ``document.Document``, of which its return type is the schema.
    ``texts`` take an answer and a ``View`` and give text.
    """

    kind: str  # of its document
    type: str
    document: str
    texts: Mapping[str, str]

    @property
    def formats(self) -> tuple[str, ...]:
        """What ``-o`` takes, what people read first."""
        people = [name for name in ("table", "wide") if name in self.texts]
        return (*people, *DOCUMENTS, *(name for name in self.texts if name not in people))


ANSWERS: Final = (
    Answer(
        kind="Trace",
        type="kinspect.model.answer.TraceAnswer",
        document="trace.document.trace_document",
        texts={"table": "trace.table.table", "wide": "trace.table.wide"},
    ),
    Answer(
        kind="Check",
        type="kinspect.model.check.CheckAnswer",
        document="check.document.check_document",
        texts={
            "table": "check.table.table",
            "wide": "check.table.wide",
            "junit": "check.junit.junit",
            "github": "check.github.github",
        },
    ),
    Answer(
        kind="Audit",
        type="kinspect.model.audit.AuditAnswer",
        document="audit.document.audit_document",
        texts={
            "table": "audit.table.table",
            "wide": "audit.table.wide",
            "junit": "audit.machine.junit",
            "github": "audit.machine.github",
        },
    ),
    Answer(
        kind="WhatIf",
        type="kinspect.model.whatif.WhatIfAnswer",
        document="whatif.document.whatif_document",
        texts={"table": "whatif.table.table", "wide": "whatif.table.wide"},
    ),
    Answer(
        kind="Diff",
        type="kinspect.model.drift.DiffAnswer",
        document="diff.document.diff_document",
        texts={"table": "diff.table.table", "wide": "diff.table.wide"},
    ),
    Answer(
        kind="Drift",
        type="kinspect.model.drift.ExpectedAnswer",
        document="diff.document.expected_document",
        texts={"table": "diff.table.expected", "wide": "diff.table.expected_wide"},
    ),
    Answer(
        kind="Rules",
        type="kinspect.model.drift.RulesAnswer",
        document="diff.document.rules_document",
        texts={"table": "diff.table.rules", "wide": "diff.table.rules"},
    ),
    Answer(
        kind="Flows",
        type="kinspect.model.flows.FlowsAnswer",
        document="flows.document.flows_document",
        texts={"table": "flows.table.table", "wide": "flows.table.wide"},
    ),
    Answer(
        kind="Reading",
        type="kinspect.model.counts.ReadingAnswer",
        document="watch.document.reading_document",
        texts={"table": "watch.table.line", "wide": "watch.table.wide"},
    ),
    Answer(
        kind="Capture",
        type="kinspect.snapshot.manifest.Written",
        document="capture.document.capture_document",
        texts={"table": "capture.table.table", "wide": "capture.table.wide"},
    ),
    Answer(
        kind="Codes",
        type="kinspect.model.codes.CodePages",
        document="codes.document.codes_document",
        texts={"table": "codes.table.table", "wide": "codes.table.wide"},
    ),
)

_SCHEMA: Final = "https://json-schema.org/draft/2020-12/schema"

# Documents that are no answer of a command.
_OTHERS: Final[Mapping[str, str]] = {
    "Manifest": "kinspect.snapshot.manifest.Manifest",
    "AuditBaseline": "kinspect.model.baseline.Baseline",
}


def formats_of(kind: str) -> tuple[str, ...]:
    """The formats of an answer, by the kind of its document."""
    return next(answer for answer in ANSWERS if answer.kind == kind).formats


def render(answer: object, form: str, view: View | None = None) -> str:
    """An answer in a format, as text without the last line's end."""
    row = _row(answer)
    if form in row.texts:
        text: str = _below(row.texts[form])(answer, view or View())
        return text
    writer = _below("document.WRITERS")[form]
    return cast("str", writer(_below(row.document)(answer)))


def document(answer: object) -> dict[str, Any]:
    """The document of an answer, as dictionaries and lists."""
    made: dict[str, Any] = _below("document.builtins")(_below(_row(answer).document)(answer))
    return made


def kinds() -> tuple[str, ...]:
    """All kinds of documents, which ``schema`` describes."""
    return (*(answer.kind for answer in ANSWERS), *_OTHERS)


def schema(kind: str) -> dict[str, Any]:
    """The JSON Schema of a kind of document. Raises KeyError."""
    from typing import get_type_hints

    import msgspec

    if kind in _OTHERS:
        described = _found(_OTHERS[kind])
    else:
        made = {answer.kind: answer.document for answer in ANSWERS}[kind]
        described = get_type_hints(_below(made))["return"]
    found = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(described)))
    return {"$schema": _SCHEMA, "title": f"kinspect/v1 {kind}", **found}


def _row(answer: object) -> Answer:
    name = f"{type(answer).__module__}.{type(answer).__qualname__}"
    return next(row for row in ANSWERS if row.type == name)


def _below(name: str) -> Any:
    return _found(f"kinspect.report.{name}")


def _found(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)
