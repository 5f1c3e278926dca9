"""A capture as one file: a gzipped tar, readable with tar alone, there as a whole or not at all.

Written beside its place and renamed (rename(2) is atomic), after its bytes are on the disk: what
stands at the path is always a whole capture, the old or the new. Only the owner may read it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import io
import os
import re
import stat
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from kinspect.errors import CallError
from kinspect.snapshot.manifest import NAME, Manifest, encode
from kinspect.snapshot.types import Snapshot

# What a folder in the archive may be called: names of nodes (RFC 1123), and no more.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def can_be_kept(node: str) -> bool:
    """Whether a node's name can be a folder's in an archive: no name of the API is refused."""
    return _PLAIN.fullmatch(node) is not None


def write_archive(file: BinaryIO, snapshot: Snapshot, manifest: Manifest) -> None:
    """Write the archive of a snapshot: always the same bytes for the same content.

    All stands in one folder, as tar users expect; the manifest comes first. Raises OSError.
    """
    when = dt.datetime.fromisoformat(manifest.started.replace("Z", "+00:00"))
    top = f"kinspect-{when:%Y%m%dT%H%M%SZ}"
    mtime = int(when.timestamp())
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=mtime) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, data in _members(snapshot, manifest):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode, member.mtime = len(data), 0o600, mtime
            archive.addfile(member, io.BytesIO(data))


def _members(snapshot: Snapshot, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    yield NAME, encode(manifest)
    for name in sorted(snapshot.api):
        yield f"api/{name}", snapshot.api[name]
    for node in sorted(snapshot.nodes):
        files = snapshot.nodes[node]
        for name in sorted(files):
            yield f"nodes/{node}/{name}", files[name]


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` when all went well, and else leaves no trace.

    What is no plain file, such as a pipe or a device, is written as it is. Raises CallError where
    the path cannot be written: at once if possible, before anything is collected.
    """
    try:
        if path.exists() and not path.is_file():
            if path.is_dir():
                raise CallError(
                    f"cannot write {path}: it is a folder", hint="name a file: -f incident.tar.gz"
                )
            with path.open("wb") as special:
                yield special
            return
        place = Path(os.path.realpath(path))  # what is written through a link is the file it leads to
        number, name = tempfile.mkstemp(prefix=f".{place.name[:200]}.", suffix=".part", dir=place.parent)
        part = Path(name)  # mkstemp makes it 0600
        try:
            with open(number, "wb") as file:  # noqa: PTH123 - a descriptor
                yield file
                file.flush()
                os.fsync(file.fileno())
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # the name in the folder too, where the system can
            folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except OSError as error:
        raise CallError(
            f"cannot write {path}: {error.strerror or error}", hint="no part of it was left behind"
        ) from error


def size_of(path: Path) -> int | None:
    """The size of a plain file; None for what has none."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return found.st_size
    return None
