"""Runs the command line in this process, as a shell would, and gives what came of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from dataclasses import dataclass
from typing import Any
from unittest import mock

from kinspect.cli import main


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


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
    return Ran(code, out.getvalue(), err.getvalue())
