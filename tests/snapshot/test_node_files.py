"""The table of node files holds everywhere: what the script runs, what pods run, what --redact keeps."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

import kinspect
from kinspect.collect.exec import COMMANDS
from kinspect.snapshot import types as names
from kinspect.snapshot.redact.fields import HOST
from kinspect.snapshot.redact.redactor import LINES
from kinspect.snapshot.types import NODE_FILES

SCRIPT: Final = (Path(kinspect.__file__).parent / "collect/remote.sh").read_text()
_NO_FILE: Final = {"tools"}  # for errors: which tools need root
_FUNCTIONS: Final = {"switches": (names.SYSCTL,), "proxy_mode": (names.PROXY_MODE,)}


def sections() -> dict[str, list[tuple[bool, str]]]:
    """By file what the script runs for it: as root or not, and the words."""
    found: dict[str, list[tuple[bool, str]]] = {}
    for line in re.findall(r"\bsection (\S+\.(?:txt|json) [^\n|&]+)", SCRIPT):
        for family in ("iptables", "ip6tables") if "$family" in line else ("",):
            name, _, words = line.replace("$family", family).partition(" ")
            words = re.sub(r"^(?:connections|first_lines \d+) ", "", words)
            found.setdefault(name, []).append(("$root " in words, words.replace("$root ", "").strip()))
    return found


def test_the_script_brings_each_file_by_its_command_and_no_other() -> None:
    assert sections().keys() == NODE_FILES.keys()
    for name, ran in sections().items():
        file = NODE_FILES[name]
        for root, words in ran:
            assert root == file.root, name
            if words in _FUNCTIONS:
                assert name in _FUNCTIONS[words]
            else:
                assert tuple(shlex.split(words)) in file.commands
    for argv in NODE_FILES[names.PROXY_MODE].commands:
        assert shlex.join(argv) in SCRIPT


def test_its_other_sections_are_no_files() -> None:
    others = set(re.findall(r"\bsection ([\w-]+) ", SCRIPT)) - {"NAME"}
    assert others == _NO_FILE


def test_tools_that_need_root_are_those_that_the_script_looks_for() -> None:
    listed = re.search(r"for tool in (.*?); do", SCRIPT, re.DOTALL)
    assert listed is not None
    needing = {file.commands[0][0] for file in NODE_FILES.values() if file.root}
    assert set(listed[1].replace("\\", "").split()) == needing


def test_each_file_has_a_constant() -> None:
    constants = {value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)} & {
        *NODE_FILES
    }
    assert constants == NODE_FILES.keys()


def test_in_pods_all_but_dumps_and_connections_run_in_the_order_of_the_table() -> None:
    for file, argv in COMMANDS:
        assert argv in NODE_FILES[file].commands
    apart = {name for name, file in NODE_FILES.items() if file.redacted in ("rules", "connections")}
    assert {file for file, _ in COMMANDS} == NODE_FILES.keys() - apart
    assert apart == {*names.CONNECTIONS, *(name for name in NODE_FILES if name.endswith("-save.txt"))} - {
        names.IPSET
    }


@pytest.mark.parametrize(("how", "known"), [("fields", HOST), ("lines", LINES)])
def test_redaction_knows_the_form_of_each_file(how: str, known: dict[str, object]) -> None:
    assert {name for name, file in NODE_FILES.items() if file.redacted == how} == known.keys()
