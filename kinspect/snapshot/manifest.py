"""``manifest.json``: what a capture read, when, by which commands, and what failed and why.

Written for people first (plain JSON, times in UTC), and read back for ``failed``: an answer from
a capture says what the capture could not read.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from kinspect.errors import SnapshotError, Status

NAME: Final = "manifest.json"
FORMAT: Final = 1  # grows where an older kinspect would misread a capture
KIND: Final = "Capture"
INTERRUPTED: Final = "interrupted"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A command that ran on a node; ``file`` is where its output is, if it has been kept."""

    file: str
    command: str = ""
    status: int = 0
    stderr: str = ""


class NodeRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a node was read, or ``error``: why it was not."""

    transport: str | None = None
    target: str | None = None
    started: str | None = None
    finished: str | None = None
    versions: dict[str, str] = {}
    commands: tuple[Command, ...] = ()
    error: str | None = None


class ListRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One list of the API; ``error``: why it was not read; ``left_out``: fields that are not kept."""

    resource_version: str | None = msgspec.field(name="resourceVersion", default=None)
    items: int | None = None
    left_out: tuple[str, ...] = msgspec.field(name="leftOut", default=())
    error: str | None = None


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """What ``--redact`` did; the key is not kept. ``inexact`` lists what could not keep its meaning."""

    inexact: tuple[str, ...] = ()
    left_out: tuple[str, ...] = msgspec.field(name="leftOut", default=())


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a capture says about itself."""

    api_version: str = msgspec.field(name="apiVersion", default="kinspect/v1")
    kind: str = KIND
    format: int = FORMAT
    kinspect: str = ""
    started: str = ""
    finished: str = ""
    complete: bool = True
    source: str | None = None
    server: str | None = None  # the API server's version
    services: tuple[str, ...] = ()  # what it was narrowed to
    namespace: str | None = None
    api: dict[str, ListRecord] = {}
    changed: tuple[str, ...] = ()  # services whose endpoints changed while nodes were read
    nodes: dict[str, NodeRecord] = {}
    redaction: Redaction | None = None

    @property
    def moved(self) -> frozenset[tuple[str, str]]:
        """The services of ``changed``, by namespace and name."""
        return frozenset(map(_key, self.changed))

    def covers(self, service: tuple[str, str]) -> bool:
        """Whether its lists have such a service if the API does: a capture may be narrowed to some."""
        if self.services:
            return service in map(_key, self.services)
        return self.namespace in (None, service[0])

    @property
    def failures(self) -> list[str]:
        """What was not read, a line each."""
        records: dict[str, ListRecord | NodeRecord] = {**self.api, **self.nodes}
        return [f"{name}: {record.error}" for name, record in records.items() if record.error]


def _key(text: str) -> tuple[str, str]:
    space, _, name = text.partition("/")
    return space, name


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """A capture that was written: what is in it, where it is (None: standard output), its size in bytes.

    ``interrupted``: the reading was ended by the user, and what was read until then is kept.
    """

    manifest: Manifest
    file: str | None
    size: int | None = None
    interrupted: bool = False

    @property
    def status(self) -> Status:
        """Whether all that was asked for was read."""
        if self.interrupted:
            return "interrupted"
        return "undetermined" if self.manifest.failures else "answered"


def now() -> str:
    """The time, in the format of manifests."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(manifest: Manifest) -> bytes:
    """The text of ``manifest.json``."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


class _Head(msgspec.Struct):
    kind: str = ""
    format: int = 0


def decode(data: bytes, source: str) -> Manifest | None:
    """Read ``manifest.json``; None if it is another tool's. Raises SnapshotError: damaged, or too new."""
    try:
        head = msgspec.json.decode(data, type=_Head)
        if head.kind != KIND:
            return None
        if head.format > FORMAT:
            raise SnapshotError(
                f"{source}: {NAME} is of format {head.format}, and this kinspect reads up to {FORMAT}",
                hint="a newer kinspect wrote it: upgrade",
            )
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(
            f"{source}: {NAME} is not what kinspect capture writes: {error}", hint="take the snapshot again"
        ) from error
