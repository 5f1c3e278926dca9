"""The command line: arguments in, one call, one answer out. The only place that prints or exits."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of ``kinspect`` and ``kubectl-kinspect``."""
    words = sys.argv[1:]
    if words == ["--version"]:  # answered before anything is imported, as pages of help are
        from kinspect import __version__

        print(f"kinspect {__version__}")  # noqa: T201
        return
    if not words or words[-1] in ("-h", "--help"):
        from kinspect.cli.help import page, show

        text = page(words)
        if text is not None:
            show(text)
            return
    import gc

    gc.disable()  # a run is short, and makes much that lives until its end: looking for garbage gains nothing
    from kinspect.cli.app import run

    run()
