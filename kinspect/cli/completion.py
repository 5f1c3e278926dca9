"""Completion scripts for shells, as typer writes them.

``python -m kinspect.cli.completion FOLDER`` writes ``kinspect.SHELL`` for each shell.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

SHELLS: Final = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """The script for a shell, which asks ``kinspect`` itself for names."""
    from typer import completion

    made = completion.get_completion_script(  # type: ignore[attr-defined]  # not in a stub, but documented
        prog_name="kinspect", complete_var="_KINSPECT_COMPLETE", shell=shell
    )
    return f"{made}\n"


def write(folder: Path) -> None:
    """Write all scripts to a folder."""
    for shell in SHELLS:
        (folder / f"kinspect.{shell}").write_text(script(shell))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
