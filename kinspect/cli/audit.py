"""``kinspect audit`` and ``kinspect explain``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import console, talk, write
from kinspect.cli.params import Report
from kinspect.cli.shared_options import sourced
from kinspect.errors import CallError, NotFound

if TYPE_CHECKING:
    from kinspect.model.audit import AuditAnswer
    from kinspect.model.packet import Family
    from kinspect.pipeline.gather.sources import Source


@sourced
def audit(
    source: Source,
    services: Annotated[
        list[str],
        typer.Argument(
            metavar="[SERVICE]...",
            help="Only these: svc/NAME, NAMESPACE/NAME, NAME; * stands for any text.",
            autocompletion=complete.services,
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    namespace: params.Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="Services of all namespaces, the default.")
    ] = False,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: params.ReportOutput = Report.TABLE,
    no_color: params.NoColor = False,
) -> None:
    """Find what is wrong with service paths: every service, every way in, every node.

    kinspect audit -n shop

    Exit 1 where a finding is an error; kinspect explain CODE says more of each.
    """
    from kinspect.parse.user.target import read_pattern
    from kinspect.pipeline import audit as pipeline
    from kinspect.pipeline.audit import AuditRequest

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
    answer = pipeline.audit(request, source)
    if output is not Report.GITHUB:
        talk([*map(str, answer.undetermined), *answer.warnings])
    _emit(answer, output, no_color)
    raise typer.Exit(answer.exit_code)


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="A finding, as KI101; without it all are listed.")
    ] = None,
) -> None:
    """What a finding of audit means, how to see it by hand, and what to do.

    kinspect explain KI101
    """
    from kinspect.checks.audit.catalogue import KINDS
    from kinspect.report.audit.table import explained

    if code is None:
        write("\n".join(f"{kind.code}  {kind.severity.value:8} {kind.title}" for kind in KINDS.values()))
        return
    kind = KINDS.get(code.upper())
    if kind is None:
        raise NotFound(f"there is no finding {code}", hint="kinspect explain lists them")
    write(explained(kind, shutil.get_terminal_size().columns))


def _emit(answer: AuditAnswer, output: Report, no_color: bool) -> None:
    if output in (Report.JSON, Report.YAML):
        from kinspect.report.audit.document import audit_document
        from kinspect.report.trace.document import to_json, to_yaml

        write((to_json if output is Report.JSON else to_yaml)(audit_document(answer)))
    elif output in (Report.JUNIT, Report.GITHUB):
        from kinspect.report.audit.machine import audit_to_github, audit_to_junit

        write(audit_to_junit(answer) if output is Report.JUNIT else audit_to_github(answer))
    else:
        from kinspect.report.audit.table import print_audit

        screen = console(no_color)
        with screen.capture() as captured:
            print_audit(screen, answer, wide=output is Report.WIDE)
        write("\n".join(line.rstrip() for line in captured.get().splitlines()))
