"""Where facts come from: a recorded snapshot, the demo, dumps taken by hand, a live cluster.

Cheap to import: the command line needs the names of sources for its help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kinspect.collect.options import NodeOptions, Progress, SshOptions
from kinspect.errors import CallError

if TYPE_CHECKING:
    from kinspect.model.packet import Family
    from kinspect.snapshot import types as names
    from kinspect.snapshot.types import NodeName, Snapshot

_TELLING = 1 << 22  # bytes of a text that are searched for its family
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A snapshot: a folder or an archive."""

    path: Path


@dataclass(frozen=True, slots=True)
class Demo:
    """The snapshot that ships with kinspect: the story of the README."""


@dataclass(frozen=True, slots=True)
class RulesFile:
    """iptables-save output taken by hand; ``read`` gives its bytes."""

    node: str | None
    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Rules:
    """Dumps taken by hand, and no cluster."""

    files: tuple[RulesFile, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """The cluster of a kubeconfig, and its nodes over a transport."""

    kubeconfig: str | None = None
    context: str | None = None
    reach: NodeOptions = field(default_factory=SshOptions)
    parallel: int | None = None
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A snapshot that is in memory already, with the namespace in use."""

    snapshot: Snapshot
    namespace: str


Source: TypeAlias = Recorded | Demo | Rules | Live | Opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The needed parts of a live cluster: one service or all, pods or not, which nodes.

    ``connections``: nodes' whole connection tracking tables, too.
    """

    service: tuple[str | None, str] | None = None  # namespace or the one in use, name
    namespace: str | None = None
    pods: bool = False
    connections: bool = False
    nodes: Sequence[str] = ()
    family: Family | None = None  # of rules by hand that do not show it


def opened(source: Source, wanted: Wanted) -> tuple[Snapshot, str]:
    """The facts, and the namespace in use. Raises KinspectError."""
    if isinstance(source, Live):
        # Code that reaches clusters is slow to import, and recorded facts do not need it.
        from kinspect.pipeline.gather.live import collect

        return collect(
            source.kubeconfig, source.context, source.reach, source.parallel, source.progress, wanted
        )
    snapshot = open_rules(source, wanted.family) if isinstance(source, Rules) else open_recorded(source)
    default = source.namespace if isinstance(source, Opened) else "default"
    return snapshot, wanted.namespace or default


def open_recorded(source: Recorded | Demo | Opened) -> Snapshot:
    """A snapshot from disk, the one in the package, or one in memory. Raises SnapshotError."""
    if isinstance(source, Opened):
        return source.snapshot
    from importlib import resources

    from kinspect.snapshot.store import open_snapshot
    from kinspect.snapshot.types import Snapshot

    if isinstance(source, Recorded):
        return open_snapshot(source.path)
    with resources.as_file(resources.files("kinspect") / "demo") as folder:
        opened = open_snapshot(folder)
    return Snapshot("the demo snapshot", opened.api, opened.nodes, opened.failed)


def open_rules(source: Rules, family: Family | None = None) -> Snapshot:
    """Dumps by hand as a snapshot of nodes without an API. Raises CallError, SnapshotError.

    ``family`` is that of texts which do not show it.
    """
    from kinspect.parse.rules.families import families
    from kinspect.snapshot import types as names
    from kinspect.snapshot.dumps import as_utf8
    from kinspect.snapshot.tarball import unpacked
    from kinspect.snapshot.types import NodeName, Snapshot

    nodes: dict[NodeName, dict[str, bytes]] = {}
    paths: dict[tuple[str, str], str] = {}
    for file in source.files:
        try:
            data = file.read()
        except OSError as error:
            raise CallError(f"{file.name}: cannot be read: {error.strerror or error}") from error
        if data.startswith(_GZIP):
            data = unpacked(data, file.name)
        node = NodeName(file.node or _stem(file.name))
        held = nodes.setdefault(node, {})
        text = as_utf8(data)
        told = families(text[:_TELLING].decode("utf-8", "replace")) or (family or 4,)
        for of in told:
            name = names.IP6TABLES if of == 6 else names.IPTABLES
            if name in held:
                raise CallError(
                    f"two dumps of one family for node {node}",
                    hint="name the nodes: --rules NODE=FILE, once per file",
                )
            held[name] = text
            paths[node, name] = "standard input" if file.name == "-" else file.name
    return Snapshot(origin=", ".join(file.name for file in source.files), nodes=nodes, paths=paths)


def _stem(name: str) -> str:
    if name == "-":
        return "stdin"
    return Path(name).name.split(".")[0] or name


def selected(snapshot: Snapshot, wanted: Sequence[str]) -> Mapping[NodeName, names.Files]:
    """The requested nodes of the snapshot. Raises CallError."""
    if not wanted:
        return snapshot.nodes
    unknown = [name for name in wanted if name not in snapshot.nodes and name not in snapshot.failed]
    if unknown:
        have = ", ".join(sorted({*snapshot.nodes, *snapshot.failed})[:20]) or "none"
        raise CallError(f"there is no node {unknown[0]} in {snapshot.origin}", hint=f"it has: {have}")
    return {name: files for name, files in snapshot.nodes.items() if name in wanted}
