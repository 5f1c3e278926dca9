"""The README is true: its commands run and print what it shows, its tables are the program's."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from kinspect.errors import ExitCode
from tests.cli.run import kinspect

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text()

# ```console blocks: `$ kinspect …` and what it prints; a comment before them sets the width.
_BLOCK = re.compile(
    r"<!-- output: columns=(\d+)(?: exit=(\d))? -->\n```console\n\$ (kinspect [^\n]+)\n(.*?)```\n", re.DOTALL
)
BLOCKS = [(match[3], int(match[1]), int(match[2] or 0)) for match in _BLOCK.finditer(TEXT)]


@pytest.mark.parametrize(("command", "columns", "code"), BLOCKS)
def test_outputs_are_what_the_program_prints(
    command: str, columns: int, code: int, request: pytest.FixtureRequest
) -> None:
    ran = kinspect(*shlex.split(command)[1:], columns=columns)
    assert ran.code == code, ran.err
    whole = README.read_text()
    if request.config.getoption("--rewrite-golden"):
        whole = _BLOCK.sub(lambda match: _filled(match, command, ran.out), whole)
        README.write_text(whole)
    shown = {match[3]: match[4] for match in _BLOCK.finditer(whole)}
    assert shown[command] == ran.out


def _filled(match: re.Match[str], command: str, out: str) -> str:
    if match[3] != command:
        return match[0]
    head = match[0].partition("\n")[0]
    return f"{head}\n```console\n$ {command}\n{out}```\n"


def test_there_is_output_to_check() -> None:
    assert len(BLOCKS) >= 1


def test_exit_codes_are_those_of_the_program() -> None:
    rows = dict(re.findall(r"^\| (\d) \| (.+) \|$", TEXT, re.M))
    assert {int(code) for code in rows} == {int(code) for code in ExitCode}


@pytest.mark.parametrize("command", ["trace", "check", "audit", "capture"])
def test_every_option_that_the_readme_names_exists(command: str) -> None:
    shown = kinspect(command, "--help").out
    for line in re.findall(rf"^(?:\w[^|\n]* \| )?kinspect {command} .*$", TEXT, re.M):
        for option in re.findall(r" (--[a-z-]+)", line.partition("#")[0]):
            assert option in shown, option


def test_every_test_that_the_readme_names_exists() -> None:
    named = re.findall(r"`(tests/[a-z_/]+\.py)::(test_\w+)`", TEXT)
    assert len(named) > 15
    for path, name in named:
        assert f"\ndef {name}(" in (README.parent / path).read_text(), f"{path}::{name}"


def test_the_commands_that_the_readme_says_are_run_are_those_that_are() -> None:
    from kinspect.collect.exec import COMMANDS

    block = re.search(r"where the user is not root:\n\n```sh\n(.*?)```", TEXT, re.DOTALL)
    assert block is not None
    said = {shlex.join(shlex.split(line)) for line in block[1].splitlines()}
    script = (README.parent / "kinspect/collect/remote.sh").read_text()
    for line in said:
        words = (
            line.replace("iptables-", "$family-").replace("ip6tables-", "$family-")
            if "-save" in line
            else line
        )
        assert words.replace("ip6$", "$") in script.replace("'*'", "*").replace("*", "'*'"), line
    others = {"sysctl"}
    assert {shlex.join(argv) for _, argv in COMMANDS if argv[0] not in others} <= said


def test_the_policy_that_the_readme_shows_is_one() -> None:
    from kinspect.parse.user.policy_file import read_policy

    (text,) = re.findall(r"```yaml\n(apiVersion: kinspect/v1\nkind: TrafficPolicy\n.*?)```", TEXT, re.DOTALL)
    assert len(read_policy(text.encode(), "README.md")) == 5


def test_all_yaml_of_the_readme_is_yaml() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    assert len(blocks) >= 5
    for block in blocks:
        assert all(document for document in yaml.safe_load_all(block))


def test_commands_on_recorded_facts_run() -> None:
    for extra in (
        ["--via", "all"],
        ["--from", "pod/test-server-1"],
        ["--entry", "node1=3", "--entry", "node2=1"],
    ):
        assert kinspect("trace", "svc/test-service", "--demo", *extra).code == 0


def test_the_sudoers_line_is_the_one_that_errors_name() -> None:
    from kinspect.collect.node_output import sudoers_line

    assert f"\n{sudoers_line('kinspect')}\n" in TEXT
