"""The document of a capture: its manifest, and how the command ended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from kinspect.model.diagnostics import Undetermined
from kinspect.report.capture.words import notes
from kinspect.report.document import UndeterminedFact, exit_code, opened
from kinspect.snapshot.manifest import Manifest, Written


class CaptureDocument(Manifest, frozen=True, kw_only=True):
    """The answer of kinspect capture: the manifest that is in the archive, and what could not be read."""

    api_version: Literal["kinspect/v1"] = msgspec.field(name="apiVersion", default="kinspect/v1")
    kind: Literal["Capture"] = "Capture"
    exit_code: int = msgspec.field(name="exitCode")
    undetermined: list[UndeterminedFact]
    warnings: list[str]


def capture_document(written: Written) -> CaptureDocument:
    """The document of a capture."""
    manifest = written.manifest
    return CaptureDocument(
        **msgspec.structs.asdict(manifest),
        exit_code=exit_code(written.status),
        undetermined=opened(_unread(manifest)),
        warnings=list(notes(manifest)),
    )


def _unread(manifest: Manifest) -> Iterator[Undetermined]:
    for kind, lists in manifest.api.items():
        if lists.error:
            yield Undetermined(text=f"{kind}: {lists.error}", code="not-read")
    for name, node in manifest.nodes.items():
        if node.error:
            yield Undetermined(text=f"{name}: {node.error}", code="not-read", node=name)
