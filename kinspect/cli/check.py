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
            help="drained: no new traffic to endpoints on drained nodes. no-traffic: none to what --to says."
            " in-sync: nodes send exactly to the endpoints of the API.",
        ),
    ] = None,
    services: Annotated[
        list[str],
        typer.Argument(
            metavar="[SERVICE]...",
            help="Only these: svc/NAME[:PORT], NAMESPACE/NAME, NAME; * stands for any text.",
            autocompletion=complete.services,
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="WHAT",
            help="With no-traffic: node/NAME, pod/NAMESPACE/NAME or an address. Repeatable.",
            autocompletion=complete.senders,
        ),
    ] = [],  # noqa: B006
    policy: Annotated[
        Path | None,
        typer.Option("--policy", metavar="FILE", help="Assertions from a YAML file, in place of ASSERTION."),
    ] = None,
    ignore: Annotated[
        list[str],
        typer.Option(
            "--ignore", metavar="NAMESPACE/NAME", help="Not this service; * stands for any text. Repeatable."
        ),
    ] = [],  # noqa: B006
    include_daemonsets: Annotated[
        bool, typer.Option("--include-daemonsets", help="Pods of DaemonSets on drained nodes count too.")
    ] = False,
    established: Annotated[
        bool,
        typer.Option(
            "--established",
            help="Connections that exist count too: none may still end there, or have entered there. Reads"
            " nodes' connection tracking.",
        ),
    ] = False,
    drained_taint: Annotated[
        list[str],
        typer.Option(
            "--drained-taint",
            metavar="KEY",
            help="With drained: nodes with this taint count, besides those cordoned or to go. Repeatable.",
        ),
    ] = [],  # noqa: B006
    wait: Annotated[
        str | None,
        typer.Option("--wait", metavar="TIME", help="Ask again until it holds, for this long: 90s, 10m."),
    ] = None,
    observe: Annotated[
        str | None,
        typer.Option(
            "--observe",
            metavar="TIME",
            help="Watch for this long: no new connection there, no packet of one, no rule that sends one.",
        ),
    ] = None,
    allow_terminating: Annotated[
        bool,
        typer.Option("--allow-terminating", help="Traffic to terminating endpoints where none else is left."),
    ] = False,
    namespace: params.Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="Services of all namespaces, the default.")
    ] = False,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Check")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Assert something about all traffic to all services; exit 1 where it does not hold.

    kinspect check drained

    kinspect check no-traffic --to node/node2

    kinspect check --policy traffic.yaml

    kinspect check drained --established --wait 10m

    Every way in, from outside, from a pod and from a process on each node. Without --established it
    is about new connections. What cannot be known is never a pass: exit 3.
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
            raise CallError("--policy: what may get traffic is said in the file", hint="under no-traffic")
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
            raise CallError("--drained-taint belongs to drained", hint="no-traffic names its nodes by --to")
        claim = NoTraffic(to=aims, **options)
        name = f"{name} to {', '.join(map(aim_text, aims))}" if aims else name
    return [Assertion(name=name, claim=claim, scope=scope)]


def _narrowed(assertion: Assertion, scope: Scope) -> Assertion:
    """What --ignore says goes for all of a file's assertions."""
    ignore = (*assertion.scope.ignore, *scope.ignore)
    scope = msgspec.structs.replace(assertion.scope, ignore=ignore)
    return msgspec.structs.replace(assertion, scope=scope)
