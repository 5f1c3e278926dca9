"""``kinspect diff``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinspect.cli import params
from kinspect.cli.output import emit
from kinspect.cli.rules import read_families, read_nodes
from kinspect.cli.shared_options import sourced
from kinspect.cli.trace import ViaOption
from kinspect.cli.whatif import read_config
from kinspect.errors import CallError

if TYPE_CHECKING:
    from kinspect.model.drift import DiffAnswer, ExpectedAnswer
    from kinspect.parse.user.target import ServiceTarget
    from kinspect.pipeline.gather.sources import Source

_LIVE = "live"


@sourced
def diff(
    source: Source,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[BEFORE AFTER [TARGET]]",
            help="Two snapshots, or a snapshot and live; a service narrows the answer."
            " With --expected: node/NAME, repeatable.",
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    expected: Annotated[
        bool,
        typer.Option(
            "--expected",
            help="Each node's rules against those that kube-proxy would write now. Exit 1 if they differ.",
        ),
    ] = False,
    kube_proxy_config: params.KubeProxyConfig = None,
    via: Annotated[
        ViaOption | None,
        typer.Option("--via", help="The way in. [default: what the service's type is for]"),
    ] = None,
    namespace: params.Namespace = None,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Diff")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Compare two states of a cluster, or each node's rules with what they should be.

    kinspect diff before.tar.gz live svc/web

    kinspect diff --expected node/node1

    Changed shares come first, then endpoints, then rules.
    """
    from kinspect.pipeline import diff as pipeline
    from kinspect.pipeline import expected as rules

    answer: DiffAnswer | ExpectedAnswer
    families = read_families(only4, only6)
    if expected:
        asked = rules.ExpectedRequest(
            nodes=[*node, *read_nodes(words)], families=families, config=read_config(kube_proxy_config)
        )
        answer = rules.expected(asked, source)
    else:
        if kube_proxy_config is not None:
            raise CallError("--kube-proxy-config is for --expected: recorded rules are what they are")
        before, after = _two(words, source)
        request = pipeline.DiffRequest(
            target=_target(words),
            namespace=namespace,
            via=via.value if via else None,
            nodes=node,
            family=families[0] if len(families) == 1 else None,
        )
        answer = pipeline.diff(request, before, after)
    emit(answer, output, no_color=no_color, beside=[*answer.undetermined, *answer.diagnostics.warnings])


def _two(words: Sequence[str], source: Source) -> tuple[Source, Source]:
    """The two states that are named. Raises CallError."""
    from kinspect.pipeline.gather.sources import Live, Recorded

    form = "kinspect diff BEFORE AFTER [TARGET], each a snapshot or live; or --expected"
    if not 2 <= len(words) <= 3:
        raise CallError("two states are compared", hint=form)
    if not isinstance(source, Live):
        raise CallError("diff takes its snapshots as arguments", hint=form)
    if words[0] == words[1]:
        raise CallError(f"{words[0]} is compared with itself", hint=form)
    before, after = (source if word == _LIVE else Recorded(Path(word)) for word in words[:2])
    return before, after


def _target(words: Sequence[str]) -> ServiceTarget | None:
    from kinspect.parse.user.target import ServiceTarget, read_target

    if len(words) < 3:
        return None
    found = read_target(words[2])
    if not isinstance(found, ServiceTarget):
        raise CallError(f"{words[2]!r} is not a service", hint="kinspect diff BEFORE AFTER svc/NAME")
    return found
