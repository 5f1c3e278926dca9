"""Writes a capture as one gzipped tar, readable with tar alone, as a whole or not at all.

It is written to a file beside the target and, once its bytes are on the disk, renamed (rename(2) is
atomic): the path always holds a whole capture, the old or the new one. Only the owner can read it.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from kinspect.errors import CallError
from kinspect.snapshot.manifest import NAME, Manifest, encode
from kinspect.snapshot.types import Snapshot

# What a folder in the archive may be called: names of nodes (RFC 1123), and no more.
_PLAIN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def can_be_kept(node: str) -> bool:
    """Whether a node's name can be the name of a folder; every name of the API can."""
    return _PLAIN.fullmatch(node) is not None


def write_archive(file: BinaryIO, snapshot: Snapshot, manifest: Manifest) -> None:
    """Write the archive of a snapshot: always the same bytes for the same content.

    Everything is in one folder, as tar users expect; the manifest comes first. Raises OSError.
    """
    when = dt.datetime.fromisoformat(manifest.started.replace("Z", "+00:00"))
    top = f"kinspect-{when:%Y%m%dT%H%M%SZ}"
    mtime = int(when.timestamp())
    with (
        gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6, mtime=mtime) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        for name, data in members(snapshot, manifest):
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode, member.mtime = len(data), 0o600, mtime
            archive.addfile(member, io.BytesIO(data))


def members(snapshot: Snapshot, manifest: Manifest) -> Iterator[tuple[str, bytes]]:
    """The files of a snapshot, by their path in it, the manifest first."""
    yield NAME, encode(manifest)
    for name in sorted(snapshot.api):
        yield f"api/{name}", snapshot.api[name]
    for node in sorted(snapshot.nodes):
        files = snapshot.nodes[node]
        for name in sorted(files):
            yield f"nodes/{node}/{name}", files[name]


Keep: TypeAlias = Callable[[Callable[[BinaryIO], None]], None]
"""Writes the file with a function that writes its content. Raises CallError."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Keep]:
    """A way to make a file at ``path``, which stays unchanged if that fails.

    Raises CallError at once, before anything is collected, if nothing can be written there. A pipe or a
    device is written directly.
    """
    with _told(path):
        if path.is_dir():
            raise CallError(f"cannot write {path}: it is a folder", hint="name a file: -f incident.tar.gz")
        place = part = None
        if path.exists() and not path.is_file():
            file: BinaryIO = path.open("wb")
        else:
            place = Path(os.path.realpath(path))  # writing through a link writes the file that it points to
            number, name = tempfile.mkstemp(prefix=f".{place.name[:200]}.", suffix=".part", dir=place.parent)
            part = Path(name)  # mkstemp makes it 0600
            file = open(number, "wb")  # noqa: PTH123, SIM115 - a descriptor, closed below

    def keep(write: Callable[[BinaryIO], None]) -> None:
        with _told(path):
            write(file)
            file.flush()
            if place is None or part is None:
                return
            os.fsync(file.fileno())
            part.replace(place)
            _sync(place.parent)

    try:
        yield keep
    finally:
        with contextlib.suppress(OSError):  # of a full disk, once more
            file.close()
        if part is not None:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CallError(
            f"cannot write {path}: {error.strerror or error}", hint="no part of it was left behind"
        ) from error


def _sync(folder: Path) -> None:
    """Flush the entries of a folder to the disk, if the system can."""
    with contextlib.suppress(OSError):
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def size_of(path: Path) -> int | None:
    """The size of a plain file; None for anything else."""
    with contextlib.suppress(OSError):
        found = path.stat()
        if stat.S_ISREG(found.st_mode):
            return found.st_size
    return None
