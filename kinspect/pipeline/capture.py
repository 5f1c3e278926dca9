"""``kinspect capture``: a source of facts to a snapshot that can be kept, with a record of how it came.

What fails is written down and stops nothing else; an interrupt ends the reading, and what was read
until then is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from kinspect import __version__
from kinspect.errors import NotFound
from kinspect.netfilter.registry import option_values
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.gather.api_lists import POD_SECRETS, ServiceKey, narrowed, outline, without_secrets
from kinspect.pipeline.gather.sources import Live, Rules, Source, open_recorded, open_rules, selected
from kinspect.snapshot import types as names
from kinspect.snapshot.archive import can_be_kept
from kinspect.snapshot.manifest import ListRecord, Manifest, NodeRecord, now
from kinspect.snapshot.types import Files, NodeName, Snapshot

if TYPE_CHECKING:
    from kinspect.pipeline.gather.whole_cluster import Reading
    from kinspect.snapshot.redact.redactor import Redactor

CONNECTIONS: Final = 65_536  # of each family, a node: Linux's own limit where nobody raised it

API_FILES: Final = tuple(
    f"{kind}.json"
    for kind in ("endpoints", "endpointslices", "namespaces", "nodes", "pods", "services", "version")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureRequest:
    """What to capture: all, or what belongs to a namespace or to services, and which nodes."""

    namespace: str | None = None
    services: Sequence[tuple[str | None, str]] = ()  # namespace or the one in use, name
    nodes: Sequence[str] = ()
    conntrack: bool = True
    redact: bool = False


@dataclass(frozen=True, slots=True)
class Captured:
    """A snapshot to be written, and its manifest."""

    snapshot: Snapshot
    manifest: Manifest


def capture(request: CaptureRequest, source: Source, redactor: Redactor | None = None) -> Captured:
    """Read all that is wanted. Raises KinspectError where there is nothing to keep.

    ``redactor`` is for tests, which know its key; with ``request.redact`` one is made anew.
    """
    captured = _live(request, source) if isinstance(source, Live) else _recorded(request, source)
    _some_service(request, captured.snapshot)
    if not request.redact:
        return captured
    from kinspect.snapshot.redact.redactor import Redactor

    return Captured(*(redactor or Redactor.new(option_values)).redacted(captured.snapshot, captured.manifest))


def _some_service(request: CaptureRequest, snapshot: Snapshot) -> None:
    """Raise NotFound for a namespace in which the API has no service: a slip must not make a capture."""
    cluster = Cluster(snapshot.api, snapshot.origin)
    if request.namespace is None or not cluster.has("services") or cluster.service_names():
        return
    raise NotFound(f"there is no service in namespace {request.namespace}", hint="kubectl get services -A")


def _live(request: CaptureRequest, source: Live) -> Captured:
    from kinspect.pipeline.gather.whole_cluster import (
        read_cluster,  # what reaches clusters takes its time to import
    )

    started = now()
    reach = replace(source.reach, connections=CONNECTIONS if request.conntrack else 0)
    reading = read_cluster(replace(source, reach=reach), request.namespace, request.services, request.nodes)
    api = dict(reading.api)
    if "pods.json" in api:
        api["pods.json"] = without_secrets(api["pods.json"])
    api = narrowed(api, request.namespace, reading.services)
    nodes = {name: files for name, files in reading.nodes.items() if can_be_kept(name)}
    manifest = Manifest(
        kinspect=__version__,
        started=started,
        finished=now(),
        complete=not reading.interrupted,
        source=reading.origin,
        server=_server(api),
        services=tuple("/".join(key) for key in reading.services),
        namespace=request.namespace,
        api=_lists(api, reading.failed_lists),
        changed=_changed(reading, api),
        nodes=_records(reading.records, nodes),
    )
    failed = {NodeName(name): record.error for name, record in manifest.nodes.items() if record.error}
    return Captured(Snapshot(reading.origin, api, nodes, failed, manifest=manifest), manifest)


def _recorded(request: CaptureRequest, source: Source) -> Captured:
    """A capture of what was recorded already, to narrow or to redact it."""
    assert not isinstance(source, Live)
    started = now()
    snapshot = open_rules(source) if isinstance(source, Rules) else open_recorded(source)
    wanted = selected(snapshot, request.nodes)
    services: list[ServiceKey] = []
    if request.services:
        cluster = Cluster(snapshot.api, snapshot.origin)
        services = [
            cluster.service(ns or request.namespace or "default", name).key for ns, name in request.services
        ]
    kept = {file: snapshot.api[file] for file in API_FILES if file in snapshot.api}  # and never Secrets
    api = narrowed(kept, request.namespace, services)
    if "pods.json" in api:
        api["pods.json"] = without_secrets(api["pods.json"])
    nodes: dict[NodeName, Files] = {
        name: {
            file: files[file] for file in files if request.conntrack or file not in names.CONNECTIONS
        }
        for name, files in wanted.items()
        if can_be_kept(name)
    }  # fmt: skip
    old = snapshot.manifest
    before = old.nodes if old else {}
    failed = {
        name: why for name, why in snapshot.failed.items() if not request.nodes or name in request.nodes
    }
    records: dict[str, NodeRecord] = {name: before.get(name, NodeRecord()) for name in (*wanted, *failed)}
    records = {
        name: msgspec.structs.replace(r, error=failed.get(NodeName(name), r.error))
        for name, r in records.items()
    }
    manifest = Manifest(
        kinspect=__version__,
        started=old.started if old and old.started else started,
        finished=old.finished if old and old.finished else now(),
        complete=old.complete if old else True,
        source=old.source if old else snapshot.origin,
        server=_server(api),
        services=tuple("/".join(key) for key in services) or (old.services if old else ()),
        namespace=request.namespace or (old.namespace if old else None),
        api=_lists(api, {kind: r.error for kind, r in (old.api if old else {}).items() if r.error}),
        changed=old.changed if old else (),
        nodes=_records(records, nodes),
        redaction=old.redaction if old else None,
    )
    return Captured(replace(snapshot, api=api, nodes=nodes, manifest=manifest), manifest)


def _lists(api: Files, failed: Mapping[str, str]) -> dict[str, ListRecord]:
    """A record of each list, read or not, by kind."""
    found = {kind: ListRecord(error=why) for kind, why in failed.items()}
    for file in api:
        kind, dot, _ = file.partition(".json")
        if dot and kind != "version":
            version, items = outline(api[file], f"api/{file}")
            left_out = POD_SECRETS if kind == "pods" else ()
            found[kind] = ListRecord(resource_version=version, items=items, left_out=left_out)
    return {kind: found[kind] for kind in sorted(found)}


def _records(records: Mapping[str, NodeRecord], nodes: Mapping[NodeName, Files]) -> dict[str, NodeRecord]:
    """The records in order of names, with the versions that the files tell."""
    found = {}
    for name in sorted(records):
        record = records[name]
        files: Files = nodes.get(NodeName(name), {})
        if not can_be_kept(name) and record.error is None:
            record = msgspec.structs.replace(record, error="its name cannot be that of a folder")
        if names.VERSION in files:
            text = files[names.VERSION].decode("utf-8", "replace").strip()
            record = msgspec.structs.replace(record, versions={"iptables": text})
        found[name] = record
    return found


class _Version(msgspec.Struct, rename="camel"):
    git_version: str | None = None


def _server(api: Files) -> str | None:
    try:
        return msgspec.json.decode(api.get("version.json", b"{}"), type=_Version).git_version
    except msgspec.DecodeError:
        return None


def _changed(reading: Reading, api: Files) -> tuple[str, ...]:
    """Of the services that are kept, those whose endpoints moved while nodes were read."""
    kept = set(Cluster(api, reading.origin).service_names())
    return tuple("/".join(key) for key in sorted(reading.changed) if key in kept)
