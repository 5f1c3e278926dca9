"""``kinspect capture``."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import console, talk, write
from kinspect.cli.params import Format
from kinspect.cli.shared_options import sourced
from kinspect.errors import CallError, ExitCode
from kinspect.pipeline import capture as pipeline
from kinspect.pipeline.capture import Captured, CaptureRequest
from kinspect.pipeline.gather.sources import Live, Source
from kinspect.snapshot.archive import Keep, replacing, size_of, write_archive

_INTERRUPTED = 130  # as a shell says for SIGINT


@sourced
def capture(
    source: Source,
    file: Annotated[
        str,
        typer.Option(
            "-f", "--file", metavar="FILE", help="The archive to write (.tar.gz), - for standard output."
        ),
    ],
    service: Annotated[
        list[str],
        typer.Option(
            "--service",
            metavar="[NAMESPACE/]NAME",
            help="Of the API only this service, its endpoints and their pods. Repeatable.",
            autocompletion=complete.services,
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    conntrack: Annotated[
        bool,
        typer.Option("--conntrack/--no-conntrack", help="Connections that nodes track: clients' addresses."),
    ] = True,
    redact: Annotated[
        bool,
        typer.Option(
            "--redact",
            help="Other addresses and names in place of the cluster's own; traces keep their shape.",
        ),
    ] = False,
    namespace: params.Namespace = None,
    node: params.Nodes = [],  # noqa: B006
    output: params.Output = Format.TABLE,
    no_color: params.NoColor = False,
) -> None:
    """Keep what kinspect reads, the API's objects and each node's rules, in one file for later.

    kinspect capture -f incident.tar.gz

    Every command takes it back with --snapshot. It is a plain tar: manifest.json says what was
    read, when, by which command, and what failed. -n keeps the objects of one namespace only.
    """
    request = CaptureRequest(
        namespace=namespace,
        services=[_service(text) for text in service],
        nodes=node,
        conntrack=conntrack,
        redact=redact,
    )
    if file == "-" and output is not Format.TABLE:
        raise CallError(f"-f - and -o {output.value} both want standard output", hint="name a file: -f FILE")
    try:
        # Before anything is read: a place that cannot be written is said at once.
        with _opened(file) as keep:
            captured = pipeline.capture(request, source)
            keep(lambda opened: write_archive(opened, captured.snapshot, captured.manifest))
    except KeyboardInterrupt:
        talk(["interrupted: nothing was written"])
        raise typer.Exit(_INTERRUPTED) from None
    _say(captured, file, output, no_color)
    if not captured.manifest.complete and isinstance(source, Live):
        raise typer.Exit(_INTERRUPTED)
    raise typer.Exit(ExitCode.UNDETERMINED if captured.failures else ExitCode.OK)


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
        raise CallError("an archive is no text for a terminal", hint="-f FILE, or a pipe behind it")
    return contextlib.nullcontext(_to_stdout)


def _to_stdout(write: Callable[[BinaryIO], None]) -> None:
    try:
        write(sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CallError(f"cannot write to standard output: {error.strerror or error}") from error


def _say(captured: Captured, file: str, output: Format, no_color: bool) -> None:
    from kinspect.report.capture import summary as words

    manifest = captured.manifest
    talk([*captured.failures, *words.notes(manifest)])
    if output in (Format.JSON, Format.YAML):
        from kinspect.report.trace.document import to_json, to_yaml

        write((to_json if output is Format.JSON else to_yaml)(words.document(manifest)))
        return
    line = words.summary(manifest, "standard output" if file == "-" else file, size_of(Path(file)))
    if file == "-":
        talk([line])
        return
    write(line)
    if output is Format.WIDE:
        from rich.table import Table

        table = Table(box=None, pad_edge=False, show_edge=False)
        for title in ("NODE", "BY", "FROM", "TIME", "CAME OF IT"):
            table.add_column(title, overflow="fold")
        for row in words.node_lines(manifest):
            table.add_row(*row)
        screen = console(no_color)
        with screen.capture() as captured_text:
            screen.print(table)
        write("\n".join(text.rstrip() for text in captured_text.get().splitlines()))
