"""The public API: its names, its documentation, and that it does nothing but answer."""

from __future__ import annotations

import ast
import doctest
import subprocess
import sys
from pathlib import Path

import pytest

import kinspect
from kinspect import api
from tests.clusters import DATA

ROOT = Path(__file__).parent.parent


def test_each_name_that_is_promised_is_there() -> None:
    for name in kinspect.__all__:
        assert getattr(kinspect, name) is not None
    assert sorted(kinspect.__all__) == sorted(["__version__", *api.__all__])


def test_type_checkers_know_the_same_names() -> None:
    tree = ast.parse((ROOT / "kinspect" / "__init__.pyi").read_text())
    named = [each.asname for node in tree.body if isinstance(node, ast.ImportFrom) for each in node.names]
    assert sorted(filter(None, named)) == sorted(api.__all__)


def test_a_name_that_is_not_promised_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'kinspect' has no attribute 'nonsense'"):
        _ = kinspect.nonsense  # type: ignore[attr-defined]


def test_the_examples_of_the_documentation_hold() -> None:
    tried = doctest.testfile(str(ROOT / "docs" / "api.md"), module_relative=False)
    assert tried.attempted > 10
    assert tried.failed == 0


def test_the_import_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import kinspect; print(*sorted(set(sys.modules) - before));"
        "kinspect.TraceRequest; assert 'kinspect.api' in sys.modules; assert 'kinspect.cli' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["kinspect"]


def test_nothing_is_printed_and_nothing_forks(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fork() -> int:
        raise AssertionError("the API forked")

    monkeypatch.setattr("os.fork", fork)
    zoo = kinspect.load(DATA / "zoo-nft")
    assert kinspect.audit(zoo).services > 1
    assert kinspect.check([kinspect.InSync(), kinspect.Reachable()], zoo).judged
    assert capfd.readouterr() == ("", "")
