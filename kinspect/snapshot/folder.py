"""A snapshot as a folder of plain files, written as a whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from kinspect.errors import CallError
from kinspect.snapshot.archive import members
from kinspect.snapshot.manifest import Manifest
from kinspect.snapshot.types import Snapshot


def write_folder(path: Path, snapshot: Snapshot, manifest: Manifest) -> None:
    """Write a snapshot into a new folder. Raises CallError: it exists, or cannot be written."""
    if path.exists():
        raise CallError(f"cannot write {path}: it exists", hint="name a new folder, or FILE.tar.gz")
    try:
        parent = path.absolute().parent
        made = Path(tempfile.mkdtemp(prefix=f".{path.name[:200]}.", suffix=".part", dir=parent))
        try:
            for name, data in members(snapshot, manifest):
                file = made / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
            made.rename(path)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise CallError(
            f"cannot write {path}: {error.strerror or error}", hint="no part of it was left behind"
        ) from error
