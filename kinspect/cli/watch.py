"""``kinspect watch``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import talk, view_of, write
from kinspect.cli.shared_options import sourced
from kinspect.errors import EXIT_CODES, CallError

if TYPE_CHECKING:
    from kinspect.model.counts import ReadingAnswer
    from kinspect.pipeline.gather.sources import Source
    from kinspect.report.screen import View


@sourced
def watch(
    source: Source,
    target: Annotated[
        str,
        typer.Argument(
            metavar="SERVICE",
            help="svc/NAME[:PORT], NAMESPACE/NAME, NAME.",
            autocompletion=complete.services,
        ),
    ],
    interval: Annotated[
        str, typer.Option("--interval", metavar="TIME", help="Between two readings, such as 5s or 1m.")
    ] = "5s",
    duration: Annotated[
        str | None,
        typer.Option("--for", metavar="TIME", help="End after this long. [default: until Ctrl-C]"),
    ] = None,
    namespace: params.Namespace = None,
    node: params.Nodes = [],  # noqa: B006 - typer reads it, nobody writes it
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Reading")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Count new connections to each endpoint by the rules' own counters, beside the shares.

    kinspect watch svc/test-service --interval 5s --for 2m

    A difference is held to the exact binomial test: chance, or more than chance (-o wide: p-values).
    Keeps one connection to each node, and reads its rules (iptables-save) at each interval. In a pipe
    each reading is a line, with -o json a document.
    """
    from kinspect.parse.user.target import ServiceTarget, read_target
    from kinspect.pipeline import watch as pipeline
    from kinspect.pipeline.watch import WatchRequest

    found = read_target(target)
    if not isinstance(found, ServiceTarget):
        raise CallError(f"cannot watch {target!r}", hint="svc/NAME, NAMESPACE/NAME or NAME")
    request = WatchRequest(
        target=found,
        namespace=namespace,
        nodes=node,
        family=4 if only4 and not only6 else 6 if only6 and not only4 else None,
        interval=int(params.read_time("--interval", interval)),
        seconds=params.read_time("--for", duration),
    )
    view = view_of(no_color=no_color)
    readings = pipeline.watch(request, source)
    last = _show(readings, output, view)
    if last is None:
        raise KeyboardInterrupt  # before there was anything to sum up
    if output in ("table", "wide"):
        from kinspect.report.watch.table import summary

        write(summary(last, view, wide=output == "wide"))
        talk(map(str, last.undetermined))
    raise typer.Exit(EXIT_CODES[last.status])


def _show(readings: Iterator[ReadingAnswer], output: str, view: View) -> ReadingAnswer | None:
    """Show each reading as it comes, up to the end or an interrupt; the last one."""
    last: ReadingAnswer | None = None
    screen = _Screen(wide=output == "wide") if sys.stdout.isatty() and output in ("table", "wide") else None
    try:
        for reading in readings:
            last = reading
            if screen is not None:
                screen.show(reading)
            else:
                _print(reading, output, view)
    except KeyboardInterrupt:
        pass
    finally:
        readings.close() if hasattr(readings, "close") else None
        if screen is not None:
            screen.close()
    return last


def _print(reading: ReadingAnswer, output: str, view: View) -> None:
    from kinspect.report.formats import render

    write(("---\n" if output == "yaml" else "") + render(reading, output, view))


class _Screen:
    """Rich's live display, which each reading replaces."""

    def __init__(self, *, wide: bool) -> None:
        from rich.live import Live

        self._wide = wide
        self._live = Live(auto_refresh=False, transient=True)
        self._live.start()

    def show(self, reading: ReadingAnswer) -> None:
        from kinspect.report.watch.table import live

        self._live.update(live(reading, wide=self._wide), refresh=True)

    def close(self) -> None:
        self._live.stop()
