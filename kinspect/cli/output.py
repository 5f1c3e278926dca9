"""What reaches the terminal: the answer on standard output, everything else on standard error."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kinspect.errors import KinspectError, RulesError
from kinspect.sanitise import safe

if TYPE_CHECKING:
    from rich.console import Console

_PIPE_WIDTH = 140  # columns where there is no terminal to fit


def console(no_color: bool) -> Console:
    """Standard output for tables and trees; colours only where they are wanted and seen."""
    from rich.console import Console

    width = None
    if not sys.stdout.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        width = _PIPE_WIDTH
    return Console(
        width=width,
        no_color=no_color or bool(os.environ.get("NO_COLOR")),
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


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
