"""The options that commands share, as types; reading them makes domain values."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinspect.cli import complete
from kinspect.cli.output import talk
from kinspect.collect.options import ExecOptions, NodeOptions, Progress, SshOptions
from kinspect.errors import CallError
from kinspect.pipeline.gather.sources import Demo, Live, Recorded, Rules, RulesFile, Source
from kinspect.report.formats import formats_of
from kinspect.sanitise import safe_name

if TYPE_CHECKING:
    from fractions import Fraction

    from kinspect.model.packet import Address


_WEIGHT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}|/[0-9]{1,9})?")  # no exponents: 1e999999999 has no end
_TIME = re.compile(r"(?:(\d{1,3})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s?)?")
_FACTS = "Where the facts come from"
_NODES = "Reaching nodes"
_OUTPUT = "Output"

Kubeconfig = Annotated[
    str | None,
    typer.Option("--kubeconfig", metavar="FILE", help="The kubeconfig file.", rich_help_panel=_FACTS),
]
Context = Annotated[
    str | None,
    typer.Option("--context", metavar="NAME", help="The kubeconfig context.", rich_help_panel=_FACTS),
]
Namespace = Annotated[
    str | None,
    typer.Option(
        "-n",
        "--namespace",
        metavar="NAME",
        help="The namespace.",
        autocompletion=complete.namespaces,
        rich_help_panel=_FACTS,
    ),
]
SnapshotPath = Annotated[
    Path | None,
    typer.Option(
        "--snapshot",
        metavar="PATH",
        help="What was recorded, in place of a live cluster: a capture, a folder of NODE.rules, a log"
        " collector's archive.",
        rich_help_panel=_FACTS,
    ),
]
DemoFlag = Annotated[
    bool, typer.Option("--demo", help="The snapshot that ships with kinspect.", rich_help_panel=_FACTS)
]
RulesPaths = Annotated[
    list[str],
    typer.Option(
        "--rules",
        metavar="[NODE=]FILE",
        help="iptables-save output taken by hand, - for standard input; needs no cluster. Repeatable.",
        rich_help_panel=_FACTS,
    ),
]
KubeProxyConfig = Annotated[
    Path | None,
    typer.Option(
        "--kube-proxy-config",
        metavar="FILE",
        help="kube-proxy's configuration, or the ConfigMap of it. [default: what each node's rules show]",
    ),
]
Nodes = Annotated[
    list[str],
    typer.Option("--node", metavar="NAME", help="Only this node. Repeatable.", autocompletion=complete.nodes),
]
ExcludeNode = Annotated[
    list[str],
    typer.Option(
        "--exclude-node",
        metavar="NAME",
        help="Not this node. Repeatable.",
        autocompletion=complete.nodes,
        rich_help_panel=_FACTS,
    ),
]
Only4 = Annotated[bool, typer.Option("-4", help="Only IPv4.")]
Only6 = Annotated[bool, typer.Option("-6", help="Only IPv6.")]


class Transport(str, Enum):
    """How nodes are reached."""

    SSH = "ssh"
    EXEC = "exec"


TransportOption = Annotated[
    Transport | None,
    typer.Option(
        "--transport",
        envvar="KINSPECT_TRANSPORT",
        help="How nodes are reached: over SSH, or through the API by commands in a pod on the node."
        " [default: ssh, or exec where this machine has no ssh]",
        rich_help_panel=_NODES,
    ),
]
ExecNamespace = Annotated[
    str,
    typer.Option(
        "--exec-namespace",
        metavar="NAME",
        envvar="KINSPECT_EXEC_NAMESPACE",
        help="exec: the namespace of the pods.",
        autocompletion=complete.namespaces,
        rich_help_panel=_NODES,
    ),
]
ExecSelector = Annotated[
    str,
    typer.Option(
        "--exec-selector",
        metavar="LABELS",
        envvar="KINSPECT_EXEC_SELECTOR",
        help="exec: the label selector of pods with the host's network and iptables.",
        rich_help_panel=_NODES,
    ),
]
ExecContainer = Annotated[
    str | None,
    typer.Option(
        "--exec-container",
        metavar="NAME",
        envvar="KINSPECT_EXEC_CONTAINER",
        help="exec: the container. [default: the one that kubectl takes]",
        rich_help_panel=_NODES,
    ),
]
SshUser = Annotated[
    str | None,
    typer.Option(
        "--ssh-user",
        metavar="USER",
        envvar="KINSPECT_SSH_USER",
        help="The user on nodes.",
        rich_help_panel=_NODES,
    ),
]
SshPort = Annotated[
    int | None,
    typer.Option(
        "--ssh-port",
        metavar="PORT",
        min=1,
        max=65535,
        envvar="KINSPECT_SSH_PORT",
        help="The port of sshd.",
        rich_help_panel=_NODES,
    ),
]
SshOption = Annotated[
    list[str],
    typer.Option(
        "--ssh-option",
        metavar="KEY=VALUE",
        envvar="KINSPECT_SSH_OPTION",
        help="Handed to ssh as -o. Repeatable.",
        rich_help_panel=_NODES,
    ),
]
SshTarget = Annotated[
    str,
    typer.Option(
        "--ssh-target",
        metavar="TEMPLATE",
        envvar="KINSPECT_SSH_TARGET",
        help="A node's address for ssh: {name}, {internal_ip}, {external_ip}, {hostname}.",
        rich_help_panel=_NODES,
    ),
]
Sudo = Annotated[
    bool | None,
    typer.Option(
        "--sudo/--no-sudo",
        envvar="KINSPECT_SUDO",
        help="Use sudo -n on nodes. [default: where needed]",
        rich_help_panel=_NODES,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        envvar="KINSPECT_TIMEOUT",
        help="The time limit of a node.",
        rich_help_panel=_NODES,
    ),
]
Parallel = Annotated[
    int | None,
    typer.Option(
        "--parallel",
        metavar="N",
        min=1,
        envvar="KINSPECT_PARALLEL",
        help="Nodes read at once.",
        rich_help_panel=_NODES,
    ),
]


def output(kind: str) -> Any:
    """``-o`` with the formats that ``report.formats`` has for an answer."""
    formats = formats_of(kind)

    def read(text: str) -> str:
        if text in formats:
            return text
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, formats))}.")

    def completed(incomplete: str) -> list[str]:
        return [name for name in formats if name.startswith(incomplete)]

    return typer.Option(
        "-o",
        "--output",
        parser=read,
        metavar=f"<{'|'.join(formats)}>",
        help="Output format.",
        autocompletion=completed,
        rich_help_panel=_OUTPUT,
    )


NoColor = Annotated[
    bool, typer.Option("--no-color", help="No colour, as with NO_COLOR.", rich_help_panel=_OUTPUT)
]


def read_source(
    snapshot: Path | None, demo: bool, rules: Sequence[str], live: Live, exclude: frozenset[str]
) -> Source:
    """The one source of facts that was named. Raises CallError where there are two."""
    named = [
        flag for flag, given in (("--snapshot", snapshot), ("--demo", demo), ("--rules", rules)) if given
    ]
    if len(named) > 1:
        raise CallError(f"{' and '.join(named)} exclude each other", hint="name one source of facts")
    if snapshot is not None:
        return Recorded(snapshot, exclude=exclude)
    if demo:
        return Demo(exclude=exclude)
    if rules:
        return Rules(tuple(map(_rules_file, rules)), exclude=exclude)
    if isinstance(live.reach, ExecOptions) and live.reach.because is not None:
        talk([live.reach.because])
    return live


def _rules_file(text: str) -> RulesFile:
    node, equals, name = text.partition("=")
    if not equals or "/" in node:
        node, name = "", text
    if name == "-":
        return RulesFile(node or None, "-", sys.stdin.buffer.read)
    return RulesFile(node or None, name, Path(name).read_bytes)


def read_entries(texts: Sequence[str]) -> dict[str, Fraction] | None:
    """``NODE`` or ``NODE=WEIGHT``, repeated. Raises CallError."""
    from fractions import Fraction

    entries: dict[str, Fraction] = {}
    for text in texts:
        node, weight = text.rsplit("=", 1) if "=" in text else (text, "1")
        try:
            value = Fraction(weight) if _WEIGHT.fullmatch(weight) else Fraction(-1)
        except (ValueError, ZeroDivisionError):
            value = Fraction(-1)
        if value < 0 or not node:
            raise CallError(f"cannot read --entry {text!r}", hint="NODE or NODE=WEIGHT, such as node1=3")
        if node in entries:
            raise CallError(f"--entry names {node} twice")
        entries[node] = value
    if entries and not any(entries.values()):
        raise CallError("--entry: all weights are 0")
    return entries or None


def read_file(path: Path) -> bytes:
    """A file that an option names. Raises CallError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CallError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_time(option: str, text: str | None) -> float:
    """Seconds: ``90``, ``90s``, ``10m``, ``1h30m``; 0 for none. Raises CallError."""
    if text is None:
        return 0
    found = _TIME.fullmatch(text)
    if found is None or not text:
        raise CallError(f"cannot read {option} {text!r}", hint="a time such as 90s, 10m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds


def read_addresses(texts: Sequence[str]) -> list[Address]:
    """Addresses of ``--local``. Raises CallError."""
    from ipaddress import ip_address

    found = []
    for text in texts:
        try:
            found.append(ip_address(text.strip("[]")))
        except ValueError:
            raise CallError(f"--local {text!r} is not an address") from None
    return found


def read_ssh(
    user: str | None, port: int | None, options: Sequence[str], target: str, sudo: bool | None, timeout: float
) -> SshOptions:
    """How nodes are reached over SSH."""
    return SshOptions(user=user, port=port, options=tuple(options), target=target, sudo=sudo, timeout=timeout)


def read_reach(wanted: Transport | None, ssh: SshOptions, pods: ExecOptions) -> NodeOptions:
    """The transport that was asked for, or the one that can work from here."""
    if wanted is Transport.EXEC:
        return pods
    if wanted is None and shutil.which(ssh.program) is None:
        because = "this machine has no ssh: nodes are read through the API, by commands in a pod on each"
        return replace(pods, because=f"{because} (--transport exec)")
    return ssh


def progress() -> Progress | None:
    """Says on a terminal which nodes are done; quiet elsewhere."""
    if not sys.stderr.isatty():
        return None

    def say(node: str, failure: str | None) -> None:
        sys.stderr.write(f"{safe_name(node)}: {'read' if failure is None else 'failed'}\n")

    return say
