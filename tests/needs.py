"""What a test needs of the machine: it skips with the reason where that is missing, but not in CI."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from functools import cache

import pytest

_FLAGS = {"net": "-n", "mount": "-m"}
# What tests do in such a namespace first; it fails where the namespace or its /proc is closed to us.
_TRIALS = {"net": "echo 1 > /proc/sys/net/ipv4/ip_forward", "mount": "mount -t tmpfs none /mnt"}


def needs(*tools: str) -> None:
    """Skip where a tool is not installed; in CI, which installs all of them, that is a failure."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        unmet(f"{', '.join(missing)} not installed")


def isolated(*kinds: str) -> str:
    """The command, as shell words, that runs another in new namespaces: ``net``, ``mount``.

    Skips where this machine refuses them: Ubuntu 24.04 to users other than root, a container without
    CAP_SYS_ADMIN, and a chroot for ``mount``.
    """
    needs("unshare")
    words = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), *(_FLAGS[kind] for kind in kinds)]
    refusal = _refusal(tuple(words), "; ".join(_TRIALS[kind] for kind in kinds))
    if refusal is not None:
        unmet(f"this machine refuses {' and '.join(kinds)} namespaces to this user ({refusal})")
    return shlex.join(words)


@cache
def _refusal(words: tuple[str, ...], trial: str) -> str | None:
    done = subprocess.run(
        [*words, "sh", "-ec", trial], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 0:
        return None
    return (done.stderr.strip().splitlines() or [f"{shlex.join(words)} ended with {done.returncode}"])[-1]


def unmet(reason: str) -> None:
    """Skip for a reason; in CI fail for it."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must not skip: {reason}")
    pytest.skip(reason)
