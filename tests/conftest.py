"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# An answer must not depend on whose terminal, cluster or settings the tests run in.
for name in [
    name for name in os.environ if name.startswith("KINSPECT_") or name in ("KUBECONFIG", "NO_COLOR")
]:
    del os.environ[name]
os.environ.pop("FORCE_COLOR", None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden", action="store_true", help="write tests/golden anew from what is printed now"
    )


@pytest.fixture(autouse=True)
def _no_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the user's kubeconfig or known hosts."""
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares text with a file of tests/golden."""
    return Golden(bool(request.config.getoption("--rewrite-golden")))


class Golden:
    def __init__(self, rewrite: bool) -> None:
        self._rewrite = rewrite

    def check(self, name: str, text: str) -> None:
        path = Path(__file__).parent / "golden" / name
        if self._rewrite:
            path.write_text(text)
        assert text == path.read_text(), f"{name} differs; pytest --rewrite-golden writes it anew"
