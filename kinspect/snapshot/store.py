"""A snapshot from a folder or an archive, in the layout that ``snapshot.types`` names."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from kinspect.errors import SnapshotError
from kinspect.snapshot.types import Files, NodeName, Snapshot

# Larger than any node's dump by far: a bound against archives made to fill the memory.
_LARGEST_FILE: Final = 1 << 30
_LARGEST_ARCHIVE: Final = 4 << 30


class _Folder(Mapping[str, bytes]):
    """The files of a folder, read when asked for; ``NAME.gz`` counts as ``NAME``."""

    def __init__(self, folder: Path) -> None:
        self._paths: dict[str, Path] = {}
        for path in sorted(folder.iterdir()):
            name = path.name.removesuffix(".gz")
            if path.is_file() and (name not in self._paths or name == path.name):
                self._paths[name] = path

    def __getitem__(self, name: str) -> bytes:
        path = self._paths[name]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise SnapshotError(f"{path}: cannot be read: {error.strerror}") from error
        return unpacked(data, str(path)) if path.suffix == ".gz" else data

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def unpacked(data: bytes, source: str) -> bytes:
    """The content of gzipped bytes. Raises SnapshotError: damaged, or far too large."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(_LARGEST_FILE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SnapshotError(
            f"{source}: the gzip data is damaged: {error}", hint="take the snapshot again"
        ) from error
    if len(content) > _LARGEST_FILE:
        raise SnapshotError(f"{source}: unpacks to more than {_LARGEST_FILE >> 20} MiB")
    return content


def open_snapshot(path: Path) -> Snapshot:
    """The snapshot in a folder or a tar archive (gzipped or not). Raises SnapshotError."""
    try:
        if path.is_dir():
            return _of_folder(path)
        if not path.exists():
            raise SnapshotError(f"{path}: there is no such file or folder")
        return _of_archive(path)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read: {error.strerror or error}") from error


def _of_folder(folder: Path) -> Snapshot:
    api, nodes = folder / "api", folder / "nodes"
    if not api.is_dir() and not nodes.is_dir():
        raise SnapshotError(
            f"{folder}: not a snapshot: it has neither api/ nor nodes/", hint="kinspect capture -f writes one"
        )
    found = {}
    if nodes.is_dir():
        found = {NodeName(node.name): _Folder(node) for node in sorted(nodes.iterdir()) if node.is_dir()}
    return Snapshot(origin=str(folder), api=_Folder(api) if api.is_dir() else {}, nodes=found)


def _of_archive(path: Path) -> Snapshot:
    api: dict[str, bytes] = {}
    nodes: dict[NodeName, dict[str, bytes]] = {}
    total = 0
    try:
        # Streamed, and nothing is ever written to disk: names in it lead nowhere.
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                place = _place(member.name)
                if place is None or not member.isreg():
                    continue
                total += member.size
                if member.size > _LARGEST_FILE or total > _LARGEST_ARCHIVE:
                    raise SnapshotError(f"{path}: {member.name} is too large ({member.size} bytes)")
                file = archive.extractfile(member)
                data = file.read() if file else b""
                node, name = place
                if name.endswith(".gz"):
                    name, data = name[:-3], unpacked(data, f"{path}:{member.name}")
                    total += len(data)
                (api if node is None else nodes.setdefault(node, {}))[name] = data
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise SnapshotError(
            f"{path}: not a snapshot archive, or cut short: {error}", hint="kinspect capture -f writes one"
        ) from error
    if not api and not nodes:
        raise SnapshotError(f"{path}: not a snapshot: it has neither api/ nor nodes/")
    files: Mapping[NodeName, Files] = {node: nodes[node] for node in sorted(nodes)}
    return Snapshot(origin=str(path), api=api, nodes=files)


def _place(name: str) -> tuple[NodeName | None, str] | None:
    """(node or None for the API, file name) of an archive's member; None: not of a snapshot.

    A folder around the whole is allowed, as tar makes one.
    """
    parts = PurePosixPath(name).parts
    for start in range(min(2, len(parts))):
        rest = parts[start:]
        if len(rest) == 2 and rest[0] == "api":
            return None, rest[1]
        if len(rest) == 3 and rest[0] == "nodes" and rest[1] not in ("..", "/"):
            return NodeName(rest[1]), rest[2]
    return None
