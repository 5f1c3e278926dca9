"""What a capture holds, in words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from kinspect.sanitise import safe, safe_name
from kinspect.snapshot.manifest import Manifest, NodeRecord, Written


def summary(written: Written) -> str:
    """One line: where it is, and how much it is of what was asked for."""
    manifest, where, size = written.manifest, written.file or "standard output", written.size
    read = sum(record.error is None for record in manifest.nodes.values())
    total = len(manifest.nodes)
    services = manifest.api.get("services")
    parts = [safe(where), _counted(read, "node") if read == total else f"{read} of {total} nodes"]
    if services is not None and services.items is not None:
        parts.append(_counted(services.items, "service"))
    if size is not None:
        parts.append(_size(size))
    if manifest.redaction is not None:
        parts.append("redacted")
    if not manifest.complete:
        parts.append("partial: interrupted")
    return " · ".join(parts)


def node_lines(manifest: Manifest) -> Iterator[tuple[str, str, str, str, str]]:
    """A row for each node: name, transport, target, seconds, and what came of it."""
    for name, record in manifest.nodes.items():
        failed = [f"{c.file}: exit status {c.status}" for c in record.commands if c.status != 0]
        came = record.error or ("read" + (f"; {', '.join(failed)}" if failed else ""))
        yield safe_name(name), record.transport or "", safe(record.target or ""), _seconds(record), safe(came)


def notes(manifest: Manifest) -> Iterator[str]:
    """What a reader of the capture should know, a line each."""
    if len(manifest.changed) == 1:
        service = manifest.changed[0]
        yield f"service {service}: its endpoints changed while nodes were read: rules may be of either state"
    elif manifest.changed:
        services = ", ".join(map(safe, manifest.changed))
        changed = "their endpoints changed while nodes were read: rules may be of either state"
        yield f"services {services}: {changed}"
    if manifest.redaction is not None:
        yield from manifest.redaction.inexact
        yield from manifest.redaction.left_out


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    value = float(size)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"


def _seconds(record: NodeRecord) -> str:
    try:
        start, end = (
            dt.datetime.fromisoformat((text or "").replace("Z", "+00:00"))
            for text in (record.started, record.finished)
        )
    except ValueError:
        return ""
    return f"{(end - start).total_seconds():.1f} s"
