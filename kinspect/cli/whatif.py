"""``kinspect whatif``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import emit, talk
from kinspect.cli.shared_options import sourced
from kinspect.cli.trace import ViaOption
from kinspect.errors import CallError

if TYPE_CHECKING:
    from kinspect.model.check import Assertion
    from kinspect.parse.user.proxy_config import ProxyConfig
    from kinspect.pipeline.gather.sources import Source
    from kinspect.pipeline.whatif import Asked
    from kinspect.snapshot.types import Snapshot

_CHANGE: Final = "The change"


def _option(
    name: str, metavar: str, text: str, completion: Callable[..., Iterable[str]] | None = None
) -> Any:
    return typer.Option(
        f"--{name}",
        metavar=metavar,
        help=f"{text} Repeatable.",
        autocompletion=completion,
        rich_help_panel=_CHANGE,
    )


@sourced
def whatif(
    source: Source,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="Service to look at: svc/NAME[:PORT], NAMESPACE/NAME, NAME."
            " [default: all that the change affects]",
            autocompletion=complete.services,
        ),
    ] = None,
    set_: Annotated[
        list[str],
        _option(
            "set",
            "[svc/NAME:]FIELD=VALUE",
            "Set a field of the service's spec; VALUE is YAML, null removes the field.",
        ),
    ] = [],  # noqa: B006 - typer reads it, nothing writes it
    without: Annotated[list[str], _option("without", "pod/NAME", "Remove a pod.", complete.pods)] = [],  # noqa: B006
    unready: Annotated[
        list[str], _option("unready", "pod/NAME", "Make a pod's readiness probe fail.", complete.pods)
    ] = [],  # noqa: B006
    terminating: Annotated[
        list[str],
        _option("terminating", "pod/NAME", "Make a pod terminate while it still serves.", complete.pods),
    ] = [],  # noqa: B006
    relabel: Annotated[
        list[str],
        _option(
            "relabel", "pod/NAME:KEY=VALUE", "Set a label of a pod or a node; KEY- removes it.", complete.pods
        ),
    ] = [],  # noqa: B006
    add: Annotated[
        list[str],
        _option("add", "SERVICE@NODE[=N]", "Add one ready pod, or N, like the service's others."),
    ] = [],  # noqa: B006
    cordon: Annotated[
        list[str], _option("cordon", "node/NAME", "Cordon a node.", complete.node_targets)
    ] = [],  # noqa: B006
    uncordon: Annotated[
        list[str], _option("uncordon", "node/NAME", "Uncordon a node.", complete.node_targets)
    ] = [],  # noqa: B006
    drain: Annotated[
        list[str],
        _option(
            "drain",
            "node/NAME",
            "Cordon a node and remove its pods, except DaemonSet and static pods.",
            complete.node_targets,
        ),
    ] = [],  # noqa: B006
    apply: Annotated[
        list[str],
        _option(
            "apply",
            "FILE",
            "Apply Services, EndpointSlices, Pods and Nodes, as kubectl apply does; - is standard input.",
        ),
    ] = [],  # noqa: B006
    delete: Annotated[
        list[str],
        _option("delete", "svc/NAME", "Delete a service, pod/NAME or node/NAME.", complete.services),
    ] = [],  # noqa: B006
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="POLICY.yaml",
            help="Check these assertions after the change. Exit 1 if one does not hold.",
        ),
    ] = None,
    write_snapshot: Annotated[
        Path | None,
        typer.Option(
            "--write-snapshot",
            metavar="PATH",
            help="Write the predicted cluster, for --snapshot: FILE.tar.gz, or a new folder.",
        ),
    ] = None,
    kube_proxy_config: params.KubeProxyConfig = None,
    via: Annotated[
        ViaOption | None,
        typer.Option("--via", help="The way in. [default: what the service's type is for]"),
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SENDER",
            help="Sender: node/NAME (a process on it), pod/NAME, pod/NAMESPACE/NAME, or an address.",
            autocompletion=complete.senders,
        ),
    ] = None,
    entry: Annotated[
        list[str],
        typer.Option(
            "--entry",
            metavar="NODE[=WEIGHT]",
            help="Nodes that the upstream balancer sends to. Repeatable.",
            autocompletion=complete.nodes,
        ),
    ] = [],  # noqa: B006
    namespace: params.Namespace = None,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("WhatIf")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Show what a change would do to traffic before you make it.

    kinspect whatif svc/web --set externalTrafficPolicy=Local

    kinspect writes the rules that kube-proxy would write after the change into each node's own
    rules, and traces them. Changes are made in the order given.
    """
    from kinspect.parse.user.target import ServiceTarget, read_sender, read_target
    from kinspect.pipeline import whatif as pipeline
    from kinspect.pipeline.whatif import WhatIfRequest

    given = {
        "set": set_, "without": without, "unready": unready, "terminating": terminating, "relabel": relabel,
        "add": add, "cordon": cordon, "uncordon": uncordon, "drain": drain, "apply": apply, "delete": delete,
    }  # fmt: skip
    wanted = read_target(target) if target is not None else None
    if wanted is not None and not isinstance(wanted, ServiceTarget):
        raise CallError(f"{target!r} is not a service", hint="kinspect whatif svc/NAME --set …")
    if write_snapshot is not None and write_snapshot.exists() and not write_snapshot.is_file():
        raise CallError(f"cannot write {write_snapshot}: it exists", hint="name a new folder, or FILE.tar.gz")
    request = WhatIfRequest(
        target=wanted,
        changes=list(_in_order(given, sys.argv[1:])),
        namespace=namespace,
        via=via.value if via else None,
        entry=params.read_entries(entry),
        sender=read_sender(sender) if sender else None,
        nodes=node,
        family=4 if only4 and not only6 else 6 if only6 and not only4 else None,
        config=read_config(kube_proxy_config),
        assertions=_assertions(check),
    )
    made = pipeline.whatif(request, source)
    answer = made.answer
    if write_snapshot is not None:
        _write(write_snapshot, made.snapshot)
    emit(answer, output, no_color=no_color, beside=[*answer.undetermined, *answer.diagnostics.warnings])


def _in_order(given: Mapping[str, Sequence[str]], words: Sequence[str]) -> Iterator[Asked]:
    """The changes in the order in which they were typed: typer keeps that of each option only."""
    from kinspect.pipeline.whatif import Asked

    left = {name: list(texts) for name, texts in given.items()}
    for word in words:
        name = word[2:].partition("=")[0] if word.startswith("--") else ""
        if left.get(name):
            text = left[name].pop(0)
            yield Asked(name, text, _manifest(text) if name == "apply" else None)
    for name, texts in left.items():  # none, unless an option has another spelling
        for text in texts:
            yield Asked(name, text, _manifest(text) if name == "apply" else None)


def _manifest(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else _bytes(Path(name))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CallError(f"{path}: cannot be read: {error.strerror or error}") from error


def read_config(path: Path | None) -> ProxyConfig | None:
    """The file of ``--kube-proxy-config``. Raises CallError."""
    from kinspect.parse.user.proxy_config import read_proxy_config

    return read_proxy_config(_bytes(path), str(path)) if path is not None else None


def _assertions(path: Path | None) -> Sequence[Assertion]:
    if path is None:
        return ()
    from kinspect.parse.user.policy_file import read_policy

    return read_policy(_bytes(path), str(path))


def _write(path: Path, snapshot: Snapshot) -> None:
    from kinspect.pipeline.capture import CaptureRequest, capture
    from kinspect.pipeline.gather.sources import Opened
    from kinspect.snapshot.archive import replacing, write_archive
    from kinspect.snapshot.folder import write_folder

    captured = capture(CaptureRequest(), Opened(snapshot, "default"))
    if path.name.endswith((".tar.gz", ".tgz", ".tar")):
        with replacing(path) as keep:
            keep(lambda file: write_archive(file, captured.snapshot, captured.manifest))
    else:
        write_folder(path, captured.snapshot, captured.manifest)
    talk([f"{path}: the predicted cluster (--snapshot {path})"])
