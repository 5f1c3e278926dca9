"""``kinspect schema``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from kinspect.cli import complete
from kinspect.cli.output import write
from kinspect.errors import NotFound


def schema(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="[KIND]",
            help="Kind of document, such as Trace. [default: list all]",
            autocompletion=complete.kinds,
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of a document that -o json writes.

    kinspect schema Trace

    Fields are only ever added to a document of kinspect/v1.
    """
    from kinspect.report import formats

    if kind is None:
        write("\n".join(formats.kinds()))
        return
    named = {each.lower(): each for each in formats.kinds()}.get(kind.lower())
    if named is None:
        raise NotFound(f"there is no kind of document {kind}", hint="kinspect schema lists them")
    write(json.dumps(formats.schema(named), indent=2))
