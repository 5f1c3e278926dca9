"""``kinspect capture``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import emit, talk
from kinspect.cli.shared_options import sourced
from kinspect.errors import EXIT_CODES, CallError
from kinspect.pipeline import capture as pipeline
from kinspect.pipeline.capture import CaptureRequest
from kinspect.pipeline.gather.sources import Live, Source
from kinspect.report.capture import words
from kinspect.snapshot.archive import Keep, replacing, size_of, write_archive
from kinspect.snapshot.manifest import Written


@sourced
def capture(
    source: Source,
    file: Annotated[
        str,
        typer.Option(
            "-f", "--file", metavar="FILE", help="Archive to write (.tar.gz), - for standard output."
        ),
    ],
    service: Annotated[
        list[str],
        typer.Option(
            "--service",
            metavar="[NAMESPACE/]NAME",
            help="Keep only this service, its endpoints and their pods. Repeatable.",
            autocompletion=complete.services,
        ),
    ] = [],  # noqa: B006 - typer reads it, nothing writes it
    conntrack: Annotated[
        bool,
        typer.Option(
            "--conntrack/--no-conntrack",
            help="Include the connections that nodes track, with clients' addresses.",
        ),
    ] = True,
    redact: Annotated[
        bool,
        typer.Option(
            "--redact",
            help="Replace the cluster's addresses and names; traces keep their shape.",
        ),
    ] = False,
    namespace: params.Namespace = None,
    node: params.Nodes = [],  # noqa: B006
    output: Annotated[str, params.output("Capture")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Keep what kinspect reads, the API's objects and each node's rules, in one file for later.

    kinspect capture -f incident.tar.gz

    Every command reads it with --snapshot. It is a plain tar: manifest.json says what was
    read, when, by which command, and what failed. -n keeps the objects of one namespace only.
    """
    request = CaptureRequest(
        namespace=namespace,
        services=[_service(text) for text in service],
        nodes=node,
        conntrack=conntrack,
        redact=redact,
    )
    if file == "-" and output != "table":
        raise CallError(f"-f - and -o {output} both want standard output", hint="name a file: -f FILE")
    try:
        # Before anything is read: a path that cannot be written is an error at once.
        with _opened(file) as keep:
            captured = pipeline.capture(request, source)
            keep(lambda opened: write_archive(opened, captured.snapshot, captured.manifest))
    except KeyboardInterrupt:
        talk(["interrupted: nothing was written"])
        raise typer.Exit(EXIT_CODES["interrupted"]) from None
    manifest = captured.manifest
    written = Written(
        manifest=manifest,
        file=None if file == "-" else file,
        size=None if file == "-" else size_of(Path(file)),
        interrupted=isinstance(source, Live) and not manifest.complete,
    )
    beside = [*manifest.failures, *words.notes(manifest)]
    if file != "-":
        emit(written, output, no_color=no_color, beside=beside)
    talk([*beside, words.summary(written)])  # standard output has the archive
    raise typer.Exit(EXIT_CODES[written.status])


def _service(text: str) -> tuple[str | None, str]:
    for prefix in ("svc/", "service/"):
        text = text.removeprefix(prefix)
    space, slash, name = text.rpartition("/")
    if not name or "/" in space or (slash and not space):
        raise CallError(f"cannot read --service {text!r}", hint="NAME or NAMESPACE/NAME")
    return space or None, name


def _opened(file: str) -> contextlib.AbstractContextManager[Keep]:
    if file != "-":
        return replacing(Path(file))
    if sys.stdout.isatty():
        raise CallError("not writing an archive to a terminal", hint="use -f FILE, or a pipe")
    return contextlib.nullcontext(_to_stdout)


def _to_stdout(write: Callable[[BinaryIO], None]) -> None:
    try:
        write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CallError(f"cannot write to standard output: {error.strerror or error}") from error
