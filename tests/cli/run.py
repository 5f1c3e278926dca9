"""Runs the command line in this process, as a shell would, and gives what came of it.

Each JSON document that comes of it is held to the schema of its kind, and to the exit code.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any
from unittest import mock

import jsonschema

from kinspect.cli import main
from kinspect.model.codes import CODES
from kinspect.report import formats


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def documents(self) -> list[Any]:
        """The documents of a command that prints one after the other."""
        found, at, decoder = [], 0, json.JSONDecoder()
        while at < len(self.out):
            document, at = decoder.raw_decode(self.out, at)
            found.append(document)
            at += len("\n")
        return found


def kinspect(*argv: str, columns: int = 100, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ran:
    """The exit code, standard output and standard error of ``kinspect ARGV``."""
    out, err = io.StringIO(), io.StringIO()
    fake_stdin = io.TextIOWrapper(io.BytesIO(stdin))
    code = 0
    with (
        mock.patch.object(sys, "argv", ["kinspect", *argv]),
        mock.patch.object(sys, "stdin", fake_stdin),
        mock.patch.dict(os.environ, {"COLUMNS": str(columns), **(env or {})}),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    ran = Ran(code, out.getvalue(), err.getvalue())
    if out.getvalue().startswith('{\n  "apiVersion"'):
        *before, last = ran.documents
        for document in before:
            valid(document, document["exitCode"])
        assert last["exitCode"] == code, ran.err
        valid(last, code)
    return ran


def valid(document: Any, code: int) -> None:
    """Holds a document to its schema, and to what all documents promise."""
    validator(document["kind"]).validate(document)
    assert document["exitCode"] == code
    assert {entry["code"] for entry in document["undetermined"]} <= CODES.keys()
    assert document["undetermined"] or code != 3, "exit code 3, and nothing says what is not known"


@cache
def validator(kind: str) -> Any:
    schema = formats.schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)
