"""``kinspect explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import emit


def explain(
    code: Annotated[
        str | None,
        typer.Argument(
            metavar="[CODE]",
            help="A code of any answer, such as KI101 or Crossing. Without it all are listed.",
            autocompletion=complete.codes,
        ),
    ] = None,
    output: Annotated[str, params.output("Codes")] = "table",
) -> None:
    """What a code means that audit, check, trace or a JSON document uses.

    kinspect explain KI101

    For a finding of audit also how to see it by hand, and what to do.
    """
    from kinspect.pipeline import explain as pipeline

    emit(pipeline.explain(code), output)
