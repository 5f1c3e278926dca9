"""``kinspect check``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from kinspect.cli import complete, params
from kinspect.cli.output import emit
from kinspect.cli.shared_options import sourced
from kinspect.errors import CallError

if TYPE_CHECKING:
    from kinspect.model.check import Assertion, Claim, Scope
    from kinspect.model.packet import Family
    from kinspect.pipeline.gather.sources import Source


class Ask(str, Enum):
    """Assertions that need no file."""

    DRAINED = "drained"
    NO_TRAFFIC = "no-traffic"
    IN_SYNC = "in-sync"


@sourced
def check(
    source: Source,
    assertion: Annotated[
        Ask | None,
        typer.Argument(
            metavar="ASSERTION",
            help="drained: no new traffic to endpoints on drained nodes. no-traffic: none to what --to names."
            " in-sync: nodes send exactly to the endpoints that the API lists.",
        ),
    ] = None,
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
            help="With no-traffic, the destination: node/NAME, pod/NAMESPACE/NAME or an address. Repeatable.",
            autocompletion=complete.senders,
        ),
    ] = [],  # noqa: B006
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy", metavar="FILE", help="Read assertions from a YAML file, instead of ASSERTION."
        ),
    ] = None,
    ignore: Annotated[
        list[str],
        typer.Option(
            "--ignore", metavar="NAMESPACE/NAME", help="Exclude this service (* is a wildcard). Repeatable."
        ),
    ] = [],  # noqa: B006
    include_daemonsets: Annotated[
        bool, typer.Option("--include-daemonsets", help="Count DaemonSet pods on drained nodes, too.")
    ] = False,
    established: Annotated[
        bool,
        typer.Option(
            "--established",
            help="Count existing connections, too: none may still end there, or have entered there. Reads"
            " the connection tracking of nodes.",
        ),
    ] = False,
    drained_taint: Annotated[
        list[str],
        typer.Option(
            "--drained-taint",
            metavar="KEY",
            help="With drained: treat nodes with this taint as drained, too. Repeatable.",
        ),
    ] = [],  # noqa: B006
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="TIME", help="Repeat until it holds, at most this long: 90s, 10m."),
    ] = None,
    observe: Annotated[
        str | None,
        typer.Option(
            "--observe",
            metavar="TIME",
            help="Watch for this long: no connection may open there, no packet pass, no rule send one.",
        ),
    ] = None,
    allow_terminating: Annotated[
        bool,
        typer.Option(
            "--allow-terminating", help="Accept traffic to terminating endpoints if no others remain."
        ),
    ] = False,
    namespace: params.Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="Services in all namespaces (the default).")
    ] = False,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Check")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Assert something about all traffic to all services; exit 1 if it does not hold.

    kinspect check drained

    kinspect check no-traffic --to node/node2

    kinspect check --policy traffic.yaml

    kinspect check drained --established --wait 10m

    Every way in, from outside, from a pod and from a process on each node. Without --established it
    is about new connections. A result that cannot be determined never passes: exit 3.
    """
    from kinspect.model.check import Scope
    from kinspect.parse.user.target import read_pattern
    from kinspect.pipeline import check as pipeline
    from kinspect.pipeline.check import CheckRequest
    from kinspect.pipeline.processes import in_parallel
    from kinspect.report.check.words import note_text

    if namespace is not None and all_namespaces:
        raise CallError("-n and -A exclude each other", hint="-A is the default")
    scope = Scope(
        services=tuple(map(read_pattern, services)), ignore=tuple(read_pattern(text) for text in ignore)
    )

    options = {
        "include_daemonsets": include_daemonsets,
        "allow_terminating": allow_terminating,
        "established": established,
        "taints": tuple(drained_taint),
    }
    assertions = _asserted(assertion, policy, to, scope, options)
    families: tuple[Family, ...] = (4,) if only4 and not only6 else (6,) if only6 and not only4 else (4, 6)
    request = CheckRequest(
        assertions=assertions,
        namespace=namespace,
        only_namespace=namespace is not None,
        nodes=node,
        families=families,
    )
    if wait is not None or observe is not None:
        from kinspect.pipeline.until import check_until

        answer = check_until(
            request,
            source,
            wait=params.read_time("--wait", wait),
            observe=params.read_time("--observe", observe),
        )
    else:
        with in_parallel():
            answer = pipeline.check(request, source)
    beside = [*answer.undetermined, *answer.warnings, *map(note_text, answer.notes)]
    emit(answer, output, no_color=no_color, beside=beside)


def _asserted(
    ask: Ask | None,
    policy: Path | None,
    to: list[str],
    scope: Scope,
    options: dict[str, Any],
) -> list[Assertion]:
    """The assertions that the arguments make, or the policy's. Raises CallError."""
    from kinspect.model.check import Assertion, InSync, NoTraffic
    from kinspect.parse.user.policy_file import read_policy
    from kinspect.parse.user.target import read_aim
    from kinspect.report.check.words import aim_text

    if policy is not None:
        if ask is not None:
            raise CallError(
                f"--policy and {ask.value} exclude each other", hint="the file names its assertions"
            )
        if to or any(options.values()):
            raise CallError(
                "with --policy, the file says what may get traffic", hint="set it under no-traffic"
            )
        return [_narrowed(found, scope) for found in read_policy(params.read_file(policy), str(policy))]
    if ask is None:
        raise CallError("nothing to check", hint="drained, no-traffic, in-sync, or --policy FILE")
    if (ask is Ask.NO_TRAFFIC) != bool(to):
        raise CallError(
            "no-traffic needs --to" if not to else f"--to belongs to no-traffic: {ask.value} takes none",
            hint="--to node/NAME, pod/NAMESPACE/NAME or an address",
        )
    if ask is Ask.IN_SYNC and (options["established"] or options["taints"]):
        raise CallError("--established and --drained-taint belong to drained and no-traffic")
    claim: Claim = InSync()
    name: str = ask.value
    if ask is not Ask.IN_SYNC:
        aims = tuple(map(read_aim, to)) or None
        if aims is not None and options["taints"]:
            raise CallError("--drained-taint belongs to drained", hint="no-traffic names its nodes with --to")
        claim = NoTraffic(to=aims, **options)
        name = f"{name} to {', '.join(map(aim_text, aims))}" if aims else name
    return [Assertion(name=name, claim=claim, scope=scope)]


def _narrowed(assertion: Assertion, scope: Scope) -> Assertion:
    """--ignore applies to all of a file's assertions."""
    ignore = (*assertion.scope.ignore, *scope.ignore)
    scope = msgspec.structs.replace(assertion.scope, ignore=ignore)
    return msgspec.structs.replace(assertion, scope=scope)
