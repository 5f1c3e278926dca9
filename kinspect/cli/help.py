"""Pages of help as the terminal of an incident wants them: at once.

Each is kept as text, as the application prints it in 80 columns (a test holds them to that), and is
read before anything is imported: building a command line to print it costs six times as much as
starting Python. A narrower terminal gets it from the application, which wraps it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# No Final: typing takes longer to import than all of the rest.
COLUMNS = 80  # what pages are wrapped for, however wide the terminal is
COMMANDS = (
    "",
    "trace",
    "check",
    "audit",
    "whatif",
    "diff",
    "rules",
    "flows",
    "watch",
    "capture",
    "explain",
    "schema",
)


def page(words: Sequence[str]) -> str | None:
    """The page that these words ask for; None: they ask for something else, or for another width."""
    if os.path.basename(sys.argv[0]) == "kubectl-kinspect":  # noqa: PTH119 - its pages say "kubectl kinspect"
        return None
    if os.environ.get("KINSPECT_PROG") or "_KINSPECT_COMPLETE" in os.environ:
        return None
    match list(words):
        case [] | ["-h" | "--help"]:
            command = ""
        case [command, "-h" | "--help"] if command in COMMANDS:
            pass
        case _:
            return None
    if _columns() < COLUMNS:
        return None
    try:
        with open(path(command), encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs half a start
            return file.read()
    except OSError:
        return None


def show(text: str) -> None:
    """Print a page, also where the reader leaves early or the terminal lacks a letter."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def path(command: str) -> str:
    """Where the page of a command is; an empty name stands for the application."""
    return os.path.join(os.path.dirname(__file__), "pages", f"{command or 'kinspect'}.txt")  # noqa: PTH118, PTH120


def _columns() -> int:
    """The terminal's width, asked as shutil.get_terminal_size does."""
    try:
        told = int(os.environ.get("COLUMNS", ""))
    except ValueError:
        told = 0
    if told > 0:
        return told
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or COLUMNS  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return COLUMNS
