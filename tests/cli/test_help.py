"""Pages of help: those kept are those that the application prints, and they come at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from kinspect.cli.help import COLUMNS, COMMANDS, path
from tests.cli.run import kinspect

AS_SUBCOMMAND = {"KINSPECT_PROG": "kinspect"}  # names the program as it is named: the page is made anew


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_kept_is_the_one_that_the_application_prints(
    command: str, request: pytest.FixtureRequest
) -> None:
    # In a process of its own: commands that were run before are known to the application already.
    env = {**os.environ, "COLUMNS": str(COLUMNS), "PYTHONUTF8": "1", **AS_SUBCOMMAND}
    words = [sys.executable, "-m", "kinspect", *command.split(), "--help"]
    made = subprocess.run(words, env=env, capture_output=True, encoding="utf-8", check=True)
    assert made.stderr == ""
    if request.config.getoption("--rewrite-golden"):
        Path(path(command)).write_text(made.stdout, encoding="utf-8")
    kept = kinspect(*command.split(), "-h", columns=COLUMNS)
    assert kept.out == made.stdout, "pytest --rewrite-golden writes the pages anew"
    assert kept.code == 0


def test_every_command_has_its_page() -> None:
    from kinspect.cli import app

    assert {*app.COMMANDS, ""} == set(COMMANDS)


@pytest.mark.parametrize("columns", [60, 79])
def test_a_narrow_terminal_gets_narrow_help(columns: int) -> None:
    ran = kinspect("trace", "--help", columns=columns)
    assert ran.out.startswith("Usage: kinspect trace")
    assert max(map(len, ran.out.splitlines())) < columns


def test_a_wide_terminal_gets_the_same_as_one_of_80_columns() -> None:
    wide = kinspect("trace", "--help", columns=200)
    assert wide.out == kinspect("trace", "--help", columns=200, env=AS_SUBCOMMAND).out


def test_no_words_ask_for_the_first_page() -> None:
    assert kinspect().out == kinspect("--help").out != ""


def test_a_word_more_is_not_a_page() -> None:
    assert kinspect("nonsense", "--help").code == 2
    assert (
        "kubectl kinspect trace" in kinspect("trace", "--help", env={"KINSPECT_PROG": "kubectl kinspect"}).out
    )


def test_a_page_imports_nothing_of_the_command_line() -> None:
    code = (
        "import sys; before = set(sys.modules); from kinspect.cli import main; sys.argv = ['kinspect', 'trace', '--help']; main();"
        "print(*sorted(name for name in set(sys.modules) - before if name.partition('.')[0] in ('typer', 'rich', 'scapy',"
        " 'kubernetes', 'msgspec', 'dataclasses', 'pathlib')), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: kinspect trace")
    assert done.stderr.strip() == ""


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); from kinspect.cli import main; sys.argv = ['kinspect', '--help']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
