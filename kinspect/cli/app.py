"""The application: its commands, and how every run ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from kinspect import __version__
from kinspect.cli.output import complain, talk
from kinspect.errors import ExitCode, KinspectError

# typer brings its own click since 0.26 and none of its names; its public error is a usage error.
_UsageError: Any = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="kinspect",
    no_args_is_help=True,
    rich_markup_mode=None,  # help as plain text: it opens at once, and can be piped
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"kinspect {__version__}\n")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show where a packet to a Kubernetes Service really goes, and with what probability."""


# A command's name and its module: only the one that was typed is imported.
COMMANDS: Final = {
    "trace": "trace",
    "check": "check",
    "audit": "audit",
    "whatif": "whatif",
    "diff": "diff",
    "rules": "rules",
    "flows": "flows",
    "watch": "watch",
    "capture": "capture",
    "explain": "explain",
    "schema": "schema",
}


def _register(words: Sequence[str]) -> None:
    """Add the command that was typed; all of them where none was, or something else is to be completed."""
    typed = next((word for word in words if not word.startswith("-")), None)
    for name in [typed] if typed in COMMANDS else COMMANDS:
        module = import_module(f"kinspect.cli.{COMMANDS[name]}")
        app.command()(getattr(module, name))


def run() -> None:
    """Run the command that was typed; the process ends here, with an exit code of ``errors.ExitCode``."""
    words = sys.argv[1:] or ["--help"]  # as kubectl does
    try:
        _register(words)
        code = app(words, standalone_mode=False, prog_name=os.environ.get("KINSPECT_PROG") or _name())
        _end(int(code) if isinstance(code, int) else ExitCode.OK)
    except _UsageError as error:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "kinspect"
        talk([f"{error.format_message()} ({command} --help)"])
        _end(ExitCode.CALL)
    except KinspectError as error:
        complain(error)
        _end(error.exit_code)
    except BrokenPipeError:
        # The reader has what it wanted (``| head``); nothing is left to say to it.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _end(ExitCode.OK)
    except Exception as error:  # the last resort: a fault of ours is one line too
        if os.environ.get("KINSPECT_TRACEBACK"):
            raise
        what = f"a fault in kinspect itself: {type(error).__name__}: {error}"
        talk([f"{what} (please report it; with KINSPECT_TRACEBACK=1 it shows where)"])
        _end(ExitCode.UNDETERMINED)
    except (KeyboardInterrupt, typer.Abort):
        talk(["interrupted"])
        _end(130)  # as a shell says for SIGINT


def _name() -> str:
    return "kubectl kinspect" if Path(sys.argv[0]).name == "kubectl-kinspect" else "kinspect"


def _end(code: int) -> None:
    raise SystemExit(int(code))
