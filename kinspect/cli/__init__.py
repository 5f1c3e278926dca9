"""The command line: arguments in, one call, one answer out. The only place that prints or exits."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of ``kinspect`` and ``kubectl-kinspect``."""
    if sys.argv[1:] == ["--version"]:  # answered before anything is imported
        from kinspect import __version__

        print(f"kinspect {__version__}")  # noqa: T201
        return
    from kinspect.cli.app import run

    run()
