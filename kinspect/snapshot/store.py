"""A snapshot from a folder, an archive or a file: in kinspect's own layout, or in one of ``layouts``."""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from kinspect.errors import SnapshotError
from kinspect.sanitise import safe
from kinspect.snapshot import manifest, tarball
from kinspect.snapshot.dumps import looks_like_rules
from kinspect.snapshot.layouts import (
    LAYOUTS,
    NODE_NAME,
    Layout,
    layout_of,
    loose_node,
    may_hold,
    place,
)  # fmt: skip
from kinspect.snapshot.tarball import LARGEST_FILE, unpacked
from kinspect.snapshot.types import NODE_FILES, Files, NodeName, Snapshot

_GZIP: Final = b"\x1f\x8b"
_ARCHIVE: Final = re.compile(r"\.(?:tgz|tar(?:\.\w+)?)$")
_SUFFIX: Final = re.compile(r"(?:\.(?:gz|rules|txt|dump|iptables|save))+$")
_HEAD: Final = 1 << 16
_DEEPEST: Final = 5  # folders below the one that is named
_MOST_FILES: Final = tarball.MOST_MEMBERS

Content: TypeAlias = bytes | Callable[[], bytes]


class _Files(Mapping[str, bytes]):
    """Files by name, read when asked for."""

    def __init__(self) -> None:
        self.contents: dict[str, Content] = {}

    def __getitem__(self, name: str) -> bytes:
        content = self.contents[name]
        return content if isinstance(content, bytes) else content()

    def __contains__(self, name: object) -> bool:
        return name in self.contents

    def __iter__(self) -> Iterator[str]:
        return iter(self.contents)

    def __len__(self) -> int:
        return len(self.contents)


def open_snapshot(path: Path) -> Snapshot:
    """The snapshot at a path: a folder, a tar archive, or one node's rules. Raises SnapshotError."""
    try:
        if path.is_dir():
            return _of_folder(path)
        if not path.exists():
            raise SnapshotError(f"{path}: there is no such file or folder")
        # A pipe can be read once only, and is an archive.
        return (_of_rules(path) if path.is_file() else None) or _of_archive(path)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read: {error.strerror or error}") from error


def _of_folder(folder: Path) -> Snapshot:
    own = [folder / name for name in ("api", "nodes") if (folder / name).is_dir()]
    found = dict(_walk(folder, own or [folder]))
    if own and (folder / manifest.NAME).is_file():
        found[manifest.NAME] = folder / manifest.NAME
    # A folder of snapshots is not a snapshot: only an archive may have a folder around the whole.
    row = layout_of(filter(may_hold, found), LAYOUTS if own else LAYOUTS[1:])
    if row is not None:
        contents: dict[str, Content] = {name: _reader(file) for name, file in found.items() if may_hold(name)}
        snapshot = _built(str(folder), folder.resolve().name, row, contents)
        if snapshot is not None:
            return snapshot
    if own:
        return Snapshot(origin=str(folder))
    archives = [folder / name for name in sorted(found) if _ARCHIVE.search(name) and "/" not in name]
    parts = [part for archive in archives if (part := _in_archive(archive)) is not None]
    if not parts:
        raise _stranger(folder)
    return _joined(folder, parts)


def _walk(folder: Path, roots: Sequence[Path]) -> Iterator[tuple[str, Path]]:
    """Files by their path below the folder; ``NAME.gz`` counts as ``NAME``, behind a plain one."""
    found: dict[str, Path] = {}
    for at, folders, files in (step for root in roots for step in os.walk(root)):
        folders.sort()
        below = Path(at).relative_to(folder)
        if len(below.parts) >= _DEEPEST:
            folders.clear()
        for file in sorted(files):
            archive = _ARCHIVE.search(file) is not None
            name = (below / (file if archive else file.removesuffix(".gz"))).as_posix()
            path = Path(at, file)
            if not path.is_file() or (name in found and path.suffix == ".gz"):
                continue
            # A link that was unpacked from an untrusted archive may point anywhere.
            if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
                raise SnapshotError(
                    f"{path}: a link that points out of the folder", hint="copy the file that it points to"
                )
            found[name] = path
        if len(found) > _MOST_FILES:
            raise SnapshotError(f"{folder}: it has more than {_MOST_FILES} files")
    yield from found.items()


def _reader(path: Path) -> Callable[[], bytes]:
    def read() -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SnapshotError(f"{path}: cannot be read: {error.strerror}") from error
        return unpacked(data, str(path)) if path.suffix == ".gz" else data

    return read


def _of_archive(path: Path) -> Snapshot:
    snapshot = _in_archive(path)
    if snapshot is None:
        raise _stranger(path)
    return snapshot


def _in_archive(path: Path) -> Snapshot | None:
    contents: dict[str, Content] = dict(tarball.members(path, may_hold))
    row = layout_of(contents)
    return _built(str(path), _ARCHIVE.sub("", path.name), row, contents) if row is not None else None


def _stranger(path: Path) -> SnapshotError:
    return SnapshotError(
        f"{path}: not a snapshot: it has neither api/ nor nodes/, nor NODE.rules, nor a log"
        " collector's files",
        hint="kinspect capture -f writes one",
    )


def _of_rules(path: Path) -> Snapshot | None:
    """A file of rules as the snapshot of one node; None if it is something else."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        packed = head.startswith(_GZIP)
        if packed:
            with contextlib.suppress(zlib.error):
                head = zlib.decompressobj(wbits=31).decompress(head, _HEAD)
        if not looks_like_rules(head):
            return None
        file.seek(0)
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise SnapshotError(f"{path}: it is larger than {LARGEST_FILE >> 20} MiB")
    if packed:
        data = unpacked(data, str(path))
    stem = _SUFFIX.sub("", path.name) or path.name
    if f"{stem}.txt" in NODE_FILES:  # its folder is the node's, then
        stem = path.resolve().parent.name
    return _built(str(path), stem, LAYOUTS[-1], {f"{stem}.rules": data}, file=str(path))


def _built(
    origin: str, stem: str, row: Layout, contents: Mapping[str, Content], *, file: str | None = None
) -> Snapshot | None:
    """The snapshot of a layout's members; None if they hold nothing of one.

    ``file`` is the path that users named, if the member is not a part of it.
    """
    own = row is LAYOUTS[0]
    api, nodes = _Files(), dict[str, _Files]()
    paths: dict[tuple[str, str], str] = {}
    aliases: dict[str, str] = {}
    record = None
    around: str | None = None
    for member in sorted(contents):
        placed = place(row, member)
        if placed is None:
            continue
        groups, reader = placed
        if own and (api or nodes) and groups.get("around") != around:
            raise SnapshotError(
                f"{origin}: it holds several snapshots", hint="unpack it, and name one of them"
            )
        around = groups.get("around")
        content = contents[member]
        name = member.rpartition("/")[2]
        if groups.get("manifest"):
            record = manifest.decode(content if isinstance(content, bytes) else content(), origin)
            continue
        if groups.get("api"):
            api.contents[name] = content
            continue
        node = groups.get("node") or groups.get("around") or row.node_of(stem)
        if own:
            nodes.setdefault(node, _Files()).contents[name] = content
            continue
        node = loose_node(node)
        source = file or f"{origin}/{member}"
        read = reader(content if isinstance(content, bytes) else content(), member, source)
        if NODE_NAME in read:
            aliases[node] = read.pop(NODE_NAME).decode("utf-8", "replace")
        for made, data in read.items():
            _add(nodes.setdefault(node, _Files()), made, data, node, source, paths)
    named = {NodeName(_sane(aliases.get(node, node), origin)): nodes[node] for node in sorted(nodes)}
    if not api and not any(named.values()):
        return None
    failed = {NodeName(n): r.error for n, r in record.nodes.items() if r.error} if record else {}
    files: Mapping[NodeName, Files] = dict(sorted(named.items()))
    paths = {(aliases.get(node, node), made): source for (node, made), source in paths.items()}
    return Snapshot(origin, api, files, failed, paths, record)


def _add(
    held: _Files, name: str, data: bytes, node: str, source: str, paths: dict[tuple[str, str], str]
) -> None:
    """A file for a node. Raises SnapshotError if it already has another one that differs."""
    before = held.contents.get(name)
    if isinstance(before, bytes) and name == "sysctl.txt":
        data = before + data
    elif before is not None and before != data:
        raise SnapshotError(
            f"{paths[node, name]} and {source} are two dumps of node {node}, and disagree",
            hint="keep the right one, or name the nodes: --rules NODE=FILE",
        )
    held.contents[name] = data
    paths[node, name] = source


def _joined(folder: Path, snapshots: list[Snapshot]) -> Snapshot:
    """Archives of one node each, as log collectors make them, as one snapshot."""
    nodes: dict[NodeName, Files] = {}
    paths: dict[tuple[str, str], str] = {}
    for snapshot in snapshots:
        for name, files in snapshot.nodes.items():
            if name in nodes:
                raise SnapshotError(
                    f"{folder}: two archives are of node {name}", hint="name one: --snapshot ARCHIVE"
                )
            nodes[name] = files
        paths.update(snapshot.paths)
    return Snapshot(str(folder), nodes={name: nodes[name] for name in sorted(nodes)}, paths=paths)


def _sane(name: str, origin: str) -> str:
    """A node's name that can be shown and typed. Raises SnapshotError for one that cannot."""
    if not name or len(name) > 253 or not name.isprintable():
        shown = safe(name, 40)
        raise SnapshotError(f"{origin}: {shown!r} cannot be the name of a node")
    return name
