"""``kinspect audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import emit
from kinspect.cli.shared_options import sourced
from kinspect.errors import CallError

if TYPE_CHECKING:
    from kinspect.model.packet import Family
    from kinspect.pipeline.gather.sources import Source


@sourced
def audit(
    source: Source,
    services: Annotated[
        list[str],
        typer.Argument(
            metavar="[SERVICE]...",
            help="Only these: svc/NAME, NAMESPACE/NAME, NAME (* is a wildcard).",
            autocompletion=complete.services,
        ),
    ] = [],  # noqa: B006 - typer reads it, nothing writes it
    namespace: params.Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="Services in all namespaces (the default).")
    ] = False,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Audit")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Find what is wrong with service paths: every service, every way in, every node.

    kinspect audit -n shop

    Exit 1 if a finding is an error; kinspect explain CODE explains each.
    """
    from kinspect.parse.user.target import read_pattern
    from kinspect.pipeline import audit as pipeline
    from kinspect.pipeline.audit import AuditRequest
    from kinspect.pipeline.processes import in_parallel

    if namespace is not None and all_namespaces:
        raise CallError("-n and -A exclude each other", hint="-A is the default")
    families: tuple[Family, ...] = (4,) if only4 and not only6 else (6,) if only6 and not only4 else (4, 6)
    request = AuditRequest(
        services=tuple(map(read_pattern, services)),
        namespace=namespace,
        only_namespace=namespace is not None,
        nodes=node,
        families=families,
    )
    with in_parallel():
        answer = pipeline.audit(request, source)
    emit(answer, output, no_color=no_color, beside=[*answer.undetermined, *answer.warnings])
