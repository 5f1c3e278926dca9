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
            help="Code of any answer, such as KI101 or Crossing. [default: list all]",
            autocompletion=complete.codes,
        ),
    ] = None,
    output: Annotated[str, params.output("Codes")] = "table",
) -> None:
    """Explain a code that audit, check, trace or a JSON document uses.

    kinspect explain KI101

    For an audit finding, also show how to see it by hand and what to do.
    """
    from kinspect.pipeline import explain as pipeline

    emit(pipeline.explain(code), output)
