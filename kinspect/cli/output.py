"""What reaches the terminal: the answer on standard output, everything else on standard error."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from typing import NoReturn, Protocol

import typer

from kinspect.errors import EXIT_CODES, KinspectError, RulesError, Status
from kinspect.report.formats import render
from kinspect.report.screen import View
from kinspect.sanitise import safe

_PIPE_WIDTH = 140  # columns where there is no terminal to fit


def emit(
    answer: _Answer,
    form: str,
    *,
    no_color: bool = False,
    explain: bool = False,
    beside: Iterable[object] = (),
) -> NoReturn:
    """Print the answer in a format, warnings and the like ``beside`` it on standard error, and exit.

    Annotations include what is beside them: a runner reads workflow commands in either stream.
    """
    if form != "github":
        talk(map(str, beside))
    write(render(answer, form, view_of(no_color=no_color, explain=explain)))
    raise typer.Exit(EXIT_CODES[answer.status])


def view_of(*, no_color: bool = False, explain: bool = False) -> View:
    """How answers are shown on this standard output."""
    return View(width=_width(), color=not (no_color or _no_color()), explain=explain)


class _Answer(Protocol):
    @property
    def status(self) -> Status: ...


def _width() -> int:
    """Columns of the terminal, or those that COLUMNS asks for; else many, for a file or a pipe."""
    fits = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    return shutil.get_terminal_size().columns if fits else _PIPE_WIDTH


def _no_color() -> bool:
    return bool(os.environ.get("NO_COLOR"))


def talk(lines: Iterable[str]) -> None:
    """Warnings and notes, a line each, on standard error."""
    for line in lines:
        sys.stderr.write(f"kinspect: {safe(line)}\n")


def complain(error: KinspectError) -> None:
    """An error: one line, and the words meant where it is about a rule."""
    talk([str(error)])
    if isinstance(error, RulesError):
        excerpt = error.excerpt()
        if excerpt is not None:
            sys.stderr.write("".join(f"{safe(line)}\n" for line in excerpt.split("\n")))


def write(text: str) -> None:
    """The answer. Bytes that are no text are shown as escapes, never lost."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
