"""``kinspect audit``."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import msgspec
import typer

from kinspect.cli import complete, params
from kinspect.cli.output import emit, talk
from kinspect.cli.shared_options import sourced
from kinspect.errors import CallError

if TYPE_CHECKING:
    from kinspect.model.audit import AuditAnswer
    from kinspect.model.packet import Family
    from kinspect.pipeline.audit import AuditRequest
    from kinspect.pipeline.gather.sources import Source


class FailOn(str, Enum):
    """The least severity of a finding that fails the audit."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


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
    fail_on: Annotated[
        FailOn, typer.Option("--fail-on", help="Exit 1 for findings of this severity or worse.")
    ] = FailOn.ERROR,
    baseline: Annotated[
        Path | None,
        typer.Option(
            "--baseline", metavar="FILE", help="Findings that are known: they are counted, and do not fail."
        ),
    ] = None,
    write_baseline: Annotated[
        Path | None,
        typer.Option(
            "--write-baseline", metavar="FILE", help="Write all findings, as a baseline for the next time."
        ),
    ] = None,
    namespace: params.Namespace = None,
    all_namespaces: Annotated[
        bool, typer.Option("-A", "--all-namespaces", help="Services of all namespaces, the default.")
    ] = False,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Audit")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Find what is wrong with service paths: every service, every way in, every node.

    kinspect audit -n shop

    kinspect audit --write-baseline known.json

    kinspect audit --baseline known.json

    Exit 1 if a finding is an error; kinspect explain CODE says more of each. With a baseline only
    findings that it does not have count.
    """
    from kinspect.model.audit import Severity
    from kinspect.parse.user.baseline import read_baseline
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
        baseline=read_baseline(params.read_file(baseline), str(baseline)) if baseline else None,
        fail_on=Severity(fail_on.value),
    )
    with in_parallel():
        if write_baseline is None:
            answer = pipeline.audit(request, source)
        else:
            answer = _written(write_baseline, request, source)
    emit(answer, output, no_color=no_color, beside=[*answer.undetermined, *answer.warnings])


def _written(path: Path, request: AuditRequest, source: Source) -> AuditAnswer:
    """The answer, once its findings are in a baseline: all are known then, unless an older one is given.

    Raises KinspectError; where the file cannot be written, before anything is read.
    """
    from kinspect.model.baseline import baseline_of
    from kinspect.pipeline import audit as pipeline
    from kinspect.snapshot.archive import replacing

    if path.is_dir():
        raise CallError(f"cannot write {path}: it is a folder", hint="--write-baseline FILE")
    with replacing(path) as keep:
        answer = pipeline.audit(request, source)
        written = baseline_of([*answer.observations, *answer.known])
        text = msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n"
        keep(lambda file: _write(file, text))
    number = len(written.findings)
    talk([f"{path}: {number} finding{'' if number == 1 else 's'} written"])
    if request.baseline is not None:
        return answer
    return replace(answer, observations=(), known=answer.observations)


def _write(file: BinaryIO, text: bytes) -> None:
    file.write(text)
