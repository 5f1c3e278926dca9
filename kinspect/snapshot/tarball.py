"""Tar archives from untrusted sources: streamed, bounded, and never unpacked to disk.

An inconsistent archive is refused as a whole, in one line: nothing shows which part of it is
genuine. Members that are not part of a snapshot are skipped unread, but counted.
"""

from __future__ import annotations

import gzip
import io
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final

from typing_extensions import Self

from kinspect.errors import SnapshotError
from kinspect.sanitise import safe

# Much larger than any dump of a node or a cluster: limits against archives made to fill the memory,
# or to be read for ever.
LARGEST_FILE = 1 << 30
LARGEST_KEPT = 4 << 30
LARGEST_ARCHIVE = 16 << 30
MOST_MEMBERS = 250_000  # 5,000 nodes have 75,000 files
_LARGEST_HEADER: Final = 1 << 20  # of pax records and long names, which tarfile reads into memory
_LONGEST_NAME: Final = 255  # of a file in Linux's file systems
_ABSURD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class _Member(tarfile.TarInfo):
    """A member whose header is bounded: tarfile itself reads one of any size."""

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        if self.type not in tarfile.REGULAR_TYPES and self.size > _LARGEST_HEADER:
            raise SnapshotError(f"a header of {self.size} bytes: no tool writes such an archive")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Name and content of each member that is wanted, gzipped ones unpacked (``NAME.gz`` as ``NAME``).

    Names have no ``./`` before them. Raises SnapshotError if the archive is damaged or too large,
    names paths outside of itself or one path twice, or has a link in place of a wanted file.
    """
    try:
        with tarfile.open(path, "r|*", tarinfo=_Member) as archive:
            yield from _checked(archive, str(path), wanted)
    except SnapshotError as error:
        if str(path) in error.message:
            raise
        raise SnapshotError(f"{path}: {error.message}", hint=error.hint) from error
    except (tarfile.TarError, EOFError, zlib.error, ValueError, OverflowError) as error:
        raise SnapshotError(
            f"{path}: not a snapshot archive, or cut short: {error}", hint="kinspect capture -f writes one"
        ) from error


def _checked(
    archive: tarfile.TarFile, path: str, wanted: Callable[[str], bool]
) -> Iterator[tuple[str, bytes]]:
    seen: set[str] = set()
    read = kept = 0
    for number, member in enumerate(archive):
        if number >= MOST_MEMBERS:
            raise SnapshotError(f"{path}: it has more than {MOST_MEMBERS} members")
        read += member.size
        if read > LARGEST_ARCHIVE:
            raise SnapshotError(f"{path}: it unpacks to more than {LARGEST_ARCHIVE >> 20} MiB")
        name = _name(member.name, path)
        plain = name.removesuffix(".gz")
        if member.isdir() or not wanted(plain):
            continue
        if not member.isreg():
            raise SnapshotError(f"{path}: {_shown(name)} is a link or a device, not a file")
        if plain in seen:
            raise SnapshotError(f"{path}: {_shown(plain)} is in it twice", hint="one of them may be forged")
        seen.add(plain)
        if member.size > LARGEST_FILE:
            raise SnapshotError(f"{path}: {_shown(name)} is too large ({member.size} bytes)")
        file = archive.extractfile(member)
        data = file.read() if file else b""
        if plain != name:
            data = unpacked(data, f"{path}:{name}")
        kept += len(data)
        if kept > LARGEST_KEPT:
            raise SnapshotError(f"{path}: it unpacks to more than {LARGEST_KEPT >> 20} MiB")
        yield plain, data


def _name(name: str, path: str) -> str:
    """A member's name as a relative path. Raises SnapshotError if it is not one."""
    parts = PurePosixPath(name).parts
    if ".." in parts or name.startswith("/"):
        raise SnapshotError(
            f"{path}: {_shown(name)} points outside the archive",
            hint="it is not a genuine snapshot: do not unpack it",
        )
    if _ABSURD.search(name) or any(len(part) > _LONGEST_NAME for part in parts):
        raise SnapshotError(f"{path}: {_shown(name)} is not a valid file name")
    return "/".join(parts)


def _shown(name: str) -> str:
    """A name that is safe to show in a message."""
    return safe(name, 80)


def unpacked(data: bytes, source: str) -> bytes:
    """The content of gzipped bytes. Raises SnapshotError: damaged, or far too large."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise SnapshotError(
            f"{source}: the gzip data is damaged: {error}", hint="take the snapshot again"
        ) from error
    if len(content) > LARGEST_FILE:
        raise SnapshotError(f"{source}: unpacks to more than {LARGEST_FILE >> 20} MiB")
    return content
