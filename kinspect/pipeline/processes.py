"""Work over many items on all cores: each process takes a part, and shares what was read before.

The parts are forked, so that rules and objects are read once. Where there is nothing to gain, or no
fork, the one process does it all.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, TypeVar

T = TypeVar("T")
R = TypeVar("R")

WORTH: Final = 200  # services at a node for each process, below which starting one costs more than it brings


@dataclass(slots=True)
class _Child:
    pid: int
    pipe: BinaryIO


def spread(
    items: Sequence[T],
    work: Callable[[Sequence[T]], R],
    *,
    least: int = WORTH,
    cores: int | None = None,
) -> list[R]:
    """What ``work`` makes of each part of the items, in their order; ``least``: of so many at least.

    What it raises in any process is raised here. It must hand back what it finds: changes that it
    makes to anything else stay in its process.
    """
    parts = _parts(items, cores or usable_cores(), least)
    if len(parts) < 2:
        return [work(items)]
    children: list[_Child] = []
    try:
        for part in parts[1:]:
            children.append(_forked(part, work))  # noqa: PERF401 - those made so far are ended in any case
        results = [work(parts[0])]
        for child in children:
            ok, result = pickle.loads(child.pipe.read())  # noqa: S301 - from our own process
            if not ok:
                raise result
            results.append(result)
    finally:
        for child in children:
            _end(child)
    return results


_allowed: ContextVar[bool] = ContextVar("in_parallel", default=False)


@contextlib.contextmanager
def in_parallel() -> Iterator[None]:
    """Within it, work is spread over all cores. Outside nothing forks: who imports us may have threads."""
    token = _allowed.set(True)
    try:
        yield
    finally:
        _allowed.reset(token)


def usable_cores() -> int:
    """How many processes may work at once: one, unless ``in_parallel``."""
    if not _allowed.get():
        return 1
    if not hasattr(os, "fork") or sys.platform == "darwin" or threading.active_count() > 1:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parts(items: Sequence[T], cores: int, least: int) -> list[Sequence[T]]:
    count = max(1, min(cores, len(items) // max(1, least)))
    size = -(-len(items) // count) if items else 0
    return [items[at : at + size] for at in range(0, len(items), size)] if size else []


def _forked(part: Sequence[Any], work: Callable[[Sequence[Any]], Any]) -> _Child:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return _Child(pid, os.fdopen(reading, "rb"))
    # The child: it never comes back from here, and says nothing but its result.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    code = 1
    with contextlib.suppress(BaseException):
        os.close(reading)
        try:
            answer: tuple[bool, Any] = (True, work(part))
        except Exception as error:
            answer = (False, error)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(answer, pipe, pickle.HIGHEST_PROTOCOL)
        code = 0
    os._exit(code)


def _end(child: _Child) -> None:
    """Reap a child; one that still works is not waited for."""
    child.pipe.close()
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child.pid, 0)
