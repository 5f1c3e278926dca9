"""``kinspect rules``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import emit
from kinspect.cli.shared_options import sourced
from kinspect.cli.whatif import read_config
from kinspect.errors import CallError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kinspect.model.packet import Family
    from kinspect.pipeline.gather.sources import Source


@sourced
def rules(
    source: Source,
    nodes: Annotated[
        list[str],
        typer.Argument(
            metavar="[node/NAME]...", help="Nodes. [default: all]", autocompletion=complete.node_targets
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    expected: Annotated[
        bool, typer.Option("--expected", help="As kube-proxy would write them now, by the API.")
    ] = False,
    kube_proxy_config: params.KubeProxyConfig = None,
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Rules")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Print kube-proxy's rules on nodes as iptables-save text.

    kinspect rules node/node1 --expected

    What others have written is left out.
    """
    from kinspect.pipeline.expected import ExpectedRequest, node_rules

    request = ExpectedRequest(
        nodes=read_nodes(nodes), families=read_families(only4, only6), config=read_config(kube_proxy_config)
    )
    answer = node_rules(request, source, as_expected=expected)
    emit(answer, output, no_color=no_color, beside=[*answer.undetermined, *answer.diagnostics.warnings])


def read_nodes(words: Sequence[str]) -> list[str]:
    """``node/NAME`` or ``NAME``, of each. Raises CallError."""
    found = []
    for word in words:
        kind, slash, name = word.rpartition("/")
        if not name or (slash and kind not in ("node", "nodes", "no")):
            raise CallError(f"{word!r} is not a node", hint="node/NAME")
        found.append(name)
    return found


def read_families(only4: bool, only6: bool) -> tuple[Family, ...]:
    """What -4 and -6 narrow to."""
    return (4,) if only4 and not only6 else (6,) if only6 and not only4 else (4, 6)
