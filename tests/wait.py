"""Waits for what another process or thread does, but not for ever."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable


def until(
    condition: Callable[[], bool], process: subprocess.Popen[bytes] | None = None, *, seconds: float = 60
) -> None:
    """Return once the condition holds; fail once the time is up, or the process that should cause it ends."""
    deadline = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            out, err = process.communicate()
            raise AssertionError(f"ended early with {process.returncode}: {(out or b'')!r} {(err or b'')!r}")
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.02)
