"""Opens a source of facts: whatever it is, a snapshot comes of it.

Light to import: what reaches clusters and what reads dumps is imported when it is needed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kinspect.errors import CallError
from kinspect.pipeline.gather.sources import (
    Demo,
    Live,
    Opened,
    Recorded,
    Rules,
    Source,
    Wanted,
    check_excluded,
)

if TYPE_CHECKING:
    from kinspect.model.packet import Family
    from kinspect.snapshot.types import Snapshot

_TELLING = 1 << 22  # bytes of a text that are looked at for its family
_GZIP = b"\x1f\x8b"


def opened(source: Source, wanted: Wanted) -> tuple[Snapshot, str]:
    """The facts, and the namespace in use. Raises KinspectError."""
    if isinstance(source, Live):
        # What reaches clusters takes its time to import, and recorded facts do not need it.
        from kinspect.pipeline.gather.live import needed, read_cluster

        reading = read_cluster(source, needed(wanted))
        return reading.snapshot(), reading.namespace
    snapshot = open_rules(source, wanted.family) if isinstance(source, Rules) else open_recorded(source)
    default = source.namespace if isinstance(source, Opened) else "default"
    return snapshot, wanted.namespace or default


def open_recorded(source: Recorded | Demo | Opened) -> Snapshot:
    """A snapshot from disk, the one in the package, or one in memory. Raises SnapshotError."""
    if isinstance(source, Opened):
        return source.snapshot
    return _without(_recorded(source), source.exclude)


def _recorded(source: Recorded | Demo) -> Snapshot:
    from importlib import resources

    from kinspect.snapshot.store import open_snapshot
    from kinspect.snapshot.types import Snapshot

    if isinstance(source, Recorded):
        return open_snapshot(source.path)
    with resources.as_file(resources.files("kinspect") / "demo") as folder:
        opened = open_snapshot(folder)
    return Snapshot("the demo snapshot", opened.api, opened.nodes, opened.failed)


def _without(snapshot: Snapshot, names: frozenset[str]) -> Snapshot:
    """The snapshot without some of its nodes. Raises CallError for a name that is no node's."""
    if not names:
        return snapshot
    from kinspect.parse.api.cluster import Cluster

    known = {*snapshot.nodes, *snapshot.failed, *Cluster(snapshot.api, snapshot.origin).nodes}
    check_excluded(names, sorted(known), snapshot.origin)
    return replace(
        snapshot,
        nodes={name: files for name, files in snapshot.nodes.items() if name not in names},
        failed={name: why for name, why in snapshot.failed.items() if name not in names},
        excluded=names,
    )


def open_rules(source: Rules, family: Family | None = None) -> Snapshot:
    """Dumps by hand as a snapshot of nodes without an API. Raises CallError, SnapshotError.

    ``family`` is that of texts which do not tell it.
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
                    hint="name the nodes: --rules NODE=FILE, once for each",
                )
            held[name] = text
            paths[node, name] = "standard input" if file.name == "-" else file.name
    snapshot = Snapshot(origin=", ".join(file.name for file in source.files), nodes=nodes, paths=paths)
    return _without(snapshot, source.exclude)


def _stem(name: str) -> str:
    if name == "-":
        return "stdin"
    return Path(name).name.split(".")[0] or name
