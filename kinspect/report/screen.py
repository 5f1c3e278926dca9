"""Tables and trees as text, for a terminal or for a file. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, slots=True)
class View:
    """How an answer is shown to people: the number of columns (None: the terminal's) and the colours.

    ``explain``: every rule considered, and why it did or did not match.
    """

    width: int | None = None
    color: bool = True
    explain: bool = False


def screen(view: View, draw: Callable[[Console], None]) -> str:
    """The drawing as text: colours only if they are wanted and standard output can show them."""
    from rich.console import Console

    console = Console(
        width=view.width, no_color=not view.color, highlight=False, markup=False, emoji=False, soft_wrap=False
    )
    with console.capture() as captured:
        draw(console)
    # Tables pad their last column, which is useless in a message.
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
