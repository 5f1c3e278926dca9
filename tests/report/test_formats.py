"""The table of formats is whole: all that it names is there, and commands offer what it has."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from kinspect.report import formats
from kinspect.report.document import WRITERS, Document
from kinspect.report.formats import ANSWERS, Answer
from tests.cli.run import kinspect, validator
from tests.clusters import DATA

STORY = str(DATA / "story-6-node1-stale")

# Each answer, by a command that gives it.
ASKED: dict[str, tuple[str, ...]] = {
    "Trace": ("trace", "svc/test-service", "--snapshot", STORY),
    "Check": ("check", "in-sync", "--snapshot", STORY),
    "Audit": ("audit", "--snapshot", STORY),
    "WhatIf": ("whatif", "svc/test-service", "--set", "externalTrafficPolicy=Local", "--snapshot", STORY),
    "Diff": ("diff", STORY, str(DATA / "story-5-local-policy")),
    "Drift": ("diff", "--expected", "--snapshot", STORY),
    "Rules": ("rules", "--snapshot", STORY),
    "Flows": ("flows", "--snapshot", str(DATA / "flows-3-pod-left")),
    "Capture": ("capture", "--snapshot", STORY, "-f"),
    "Codes": ("explain",),
}


def test_every_answer_is_asked_for_here() -> None:
    # A reading needs a live cluster: tests/cli/test_watch.py asks for one in every format.
    assert {answer.kind for answer in ANSWERS} == {*ASKED, "Reading"}


def test_documents_are_written_in_every_common_format() -> None:
    assert set(WRITERS) == set(formats.DOCUMENTS)


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.kind)
def test_what_the_table_names_is_there(answer: Answer) -> None:
    described = get_type_hints(formats._below(answer.document))["return"]
    assert described.__struct_defaults__ is not None
    assert get_type_hints(described)["kind"].__args__ == (answer.kind,)
    assert formats._found(answer.type).status  # a property: what the process ends with
    assert all(callable(formats._below(name)) for name in answer.texts.values())


CASES = [(answer.kind, form) for answer in ANSWERS if answer.kind in ASKED for form in answer.formats]


@pytest.mark.parametrize(("kind", "form"), CASES, ids=map(" ".join, CASES))
def test_every_format_of_the_table_can_be_asked_for(kind: str, form: str, tmp_path: Any) -> None:
    words = [*ASKED[kind], *([str(tmp_path / "kept.tar.gz")] if kind == "Capture" else [])]
    ran = kinspect(*words, "-o", form)
    assert ran.out.endswith("\n")
    assert ran.code != 2
    assert "not one of" not in ran.err


@pytest.mark.parametrize("kind", ASKED)
def test_a_format_that_is_not_in_the_table_is_refused(kind: str) -> None:
    words = [*ASKED[kind], *(["x"] if kind == "Capture" else [])]
    ran = kinspect(*words, "-o", "toml")
    names = ", ".join(map(repr, formats.formats_of(kind)))
    assert ran.code == 2
    assert f"'toml' is not one of {names}." in ran.err


@pytest.mark.parametrize("kind", formats.kinds())
def test_schema_prints_what_documents_are_held_to(kind: str) -> None:
    ran = kinspect("schema", kind.upper())
    assert ran.code == 0
    assert ran.json == validator(kind).schema


def test_schema_lists_the_kinds() -> None:
    assert kinspect("schema").out.split() == list(formats.kinds())
    assert kinspect("schema", "Nonsense").code == 2


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.kind)
def test_every_document_has_the_common_head(answer: Answer) -> None:
    schema = formats.schema(answer.kind)
    properties = schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"]
    head = {field.encode_name for field in __import__("msgspec").structs.fields(Document)}
    assert head <= set(properties)
