"""The command line: arguments in, one call, one answer out. The only place that prints or exits."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of ``kinspect`` and ``kubectl-kinspect``."""
    if sys.argv[1:] == ["--version"]:  # answered before anything is imported
        from kinspect import __version__

        print(f"kinspect {__version__}")  # noqa: T201
        return
    import gc

    gc.disable()  # a run is short, and makes much that lives until its end: looking for garbage is in vain
    from kinspect.cli.app import run

    run()
