"""Fixtures that all tests share, and what holds for all of them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# An answer must not depend on whose terminal, cluster or settings the tests run in.
for name in [
    name for name in os.environ if name.startswith("KINSPECT_") or name in ("KUBECONFIG", "NO_COLOR")
]:
    del os.environ[name]
os.environ.pop("FORCE_COLOR", None)

# A shell's background job ignores interrupts, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A loaded machine is slow, which is no fault of the code under test.
settings.register_profile("kinspect", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kinspect")

# Folders whose tests need nothing but memory and files: there, a socket or a process is a mistake
# unless the test is marked ``outside``.
_PURE = ("model", "netfilter", "parse", "evaluate", "checks", "kubeproxy", "report")
_OUTSIDE = ("socket.connect", "socket.bind", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.system")
_pure_test = ""  # the test that runs now, if it is one of these


def _stay_inside(event: str, args: tuple[object, ...]) -> None:
    if _pure_test and event in _OUTSIDE:
        raise AssertionError(f"{_pure_test} is a unit test, but causes {event} {args!r:.200}")


sys.addaudithook(_stay_inside)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rewrite-golden", action="store_true", help="write tests/golden anew from what is printed now"
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> object:
    """Hold unit tests to staying inside the process."""
    global _pure_test
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    pure = folder in _PURE and item.get_closest_marker("outside") is None
    _pure_test = item.nodeid if pure else ""
    try:
        return (yield)
    finally:
        _pure_test = ""


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
