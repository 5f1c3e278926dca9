"""``kinspect flows``."""

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

_DRAINED = "drained"


@sourced
def flows(
    source: Source,
    services: Annotated[
        list[str],
        typer.Argument(
            metavar="[SERVICE]...",
            help="Only these: svc/NAME[:PORT], NAMESPACE/NAME, NAME (* is a wildcard).",
            autocompletion=complete.services,
        ),
    ] = [],  # noqa: B006 - typer reads it, nothing writes it
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="WHAT",
            help="Only connections that end there: node/NAME, pod/NAMESPACE/NAME, an address, or drained for"
            " all drained nodes. Repeatable.",
            autocompletion=complete.senders,
        ),
    ] = [],  # noqa: B006
    through: Annotated[
        list[str],
        typer.Option(
            "--through",
            metavar="NODE",
            help="Only connections that entered at this node and end elsewhere: node/NAME. Repeatable.",
            autocompletion=complete.senders,
        ),
    ] = [],  # noqa: B006
    stale: Annotated[
        bool,
        typer.Option(
            "--stale",
            help="Only connections that could not be opened now: the endpoint is gone, or the rules changed.",
        ),
    ] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Exit 1 if any connection is listed.")] = False,
    namespace: params.Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="Services in all namespaces (the default).")
    ] = False,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Flows")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """List the connections that exist now, by service and endpoint, as nodes track them.

    kinspect flows svc/test-service

    kinspect flows --to node/node2

    Reads each node's connection tracking table, whole (conntrack -L): a million entries cost a
    node seconds of one core and some 15 MB of traffic. Exit 3 if a table cannot be read or was
    cut.
    """
    from kinspect.parse.user.target import read_aim, read_pattern
    from kinspect.pipeline import flows as pipeline
    from kinspect.pipeline.flows import FlowsRequest

    if namespace is not None and all_namespaces:
        raise CallError("-n and -A exclude each other", hint="-A is the default")
    if _DRAINED in to and len(to) > 1:
        raise CallError("--to drained excludes other --to", hint="name the nodes: --to node/NAME, repeatable")
    families: tuple[Family, ...] = (4,) if only4 and not only6 else (6,) if only6 and not only4 else (4, 6)
    request = FlowsRequest(
        services=tuple(map(read_pattern, services)),
        namespace=namespace,
        only_namespace=namespace is not None and not services,
        to=() if _DRAINED in to else tuple(map(read_aim, to)),
        drained=_DRAINED in to,
        through=tuple(map(_node, through)),
        stale=stale,
        fail=fail,
        nodes=node,
        families=families,
    )
    answer = pipeline.flows(request, source)
    emit(answer, output, no_color=no_color, beside=[*answer.undetermined, *answer.warnings])


def _node(text: str) -> str:
    """A node, with or without ``node/`` before it. Raises CallError."""
    kind, slash, name = text.rpartition("/")
    if not name or (slash and kind not in ("node", "no", "nodes")):
        raise CallError(f"cannot read --through {text!r}", hint="node/NAME")
    return name
