"""The README is true: its commands run and print what it shows, its tables are the program's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from kinspect.errors import ExitCode
from tests.cli.run import kinspect

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text()

# ```console blocks: `$ kinspect …` and what it prints; a comment before them sets the width.
_BLOCK = re.compile(
    r"<!-- output: columns=(\d+) -->\n```console\n\$ (kinspect [^\n]+)\n(.*?)```\n", re.DOTALL
)
BLOCKS = [(match[2], int(match[1])) for match in _BLOCK.finditer(TEXT)]


@pytest.mark.parametrize(("command", "columns"), BLOCKS)
def test_outputs_are_what_the_program_prints(
    command: str, columns: int, request: pytest.FixtureRequest
) -> None:
    ran = kinspect(*shlex.split(command)[1:], columns=columns)
    assert ran.code == 0, ran.err
    whole = README.read_text()
    if request.config.getoption("--rewrite-golden"):
        whole = _BLOCK.sub(lambda match: _filled(match, command, ran.out), whole)
        README.write_text(whole)
    shown = {match[2]: match[3] for match in _BLOCK.finditer(whole)}
    assert shown[command] == ran.out


def _filled(match: re.Match[str], command: str, out: str) -> str:
    if match[2] != command:
        return match[0]
    return f"<!-- output: columns={match[1]} -->\n```console\n$ {command}\n{out}```\n"


def test_there_is_output_to_check() -> None:
    assert len(BLOCKS) >= 1


def test_exit_codes_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| (\d) \| (.+) \|$", TEXT, re.M))
    assert {int(code) for code in rows} == {int(code) for code in ExitCode}


def test_every_option_that_the_readme_names_exists() -> None:
    shown = kinspect("trace", "--help").out
    for line in re.findall(r"^(?:\w[^|\n]* \| )?kinspect trace .*$", TEXT, re.M):
        for option in re.findall(r" (--[a-z-]+)", line):
            assert option in shown, option


def test_commands_on_recorded_facts_run() -> None:
    for extra in (
        ["--via", "all"],
        ["--from", "pod/test-server-1"],
        ["--entry", "node1=3", "--entry", "node2=1"],
    ):
        assert kinspect("trace", "svc/test-service", "--demo", *extra).code == 0


def test_the_sudoers_line_is_the_one_that_errors_name() -> None:
    from kinspect.collect.bundle import sudoers_line

    assert f"\n{sudoers_line('kinspect')}\n" in TEXT
