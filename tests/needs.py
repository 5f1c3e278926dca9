"""What a test needs of the machine: it skips with the reason where that is missing, but not in CI."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(*tools: str) -> None:
    """Skip where a tool is not installed; in CI, which installs all of them, that is a failure."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        unmet(f"{', '.join(missing)} not installed")


def unmet(reason: str) -> None:
    """Skip for a reason; in CI fail for it."""
    if os.environ.get("CI"):
        pytest.fail(f"CI must not skip: {reason}")
    pytest.skip(reason)
