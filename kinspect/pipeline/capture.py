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
from kinspect.pipeline.gather.opened import open_recorded, open_rules
from kinspect.pipeline.gather.read import selected
from kinspect.pipeline.gather.sources import Live, Rules, Source
from kinspect.snapshot import types as names
from kinspect.snapshot.archive import can_be_kept
from kinspect.snapshot.manifest import ListRecord, Manifest, NodeRecord, now
from kinspect.snapshot.types import Files, NodeName, Snapshot

if TYPE_CHECKING:
    from kinspect.collect.ports import ApiKind
    from kinspect.snapshot.redact.redactor import Redactor

CONNECTIONS: Final = 65_536  # of each family, a node: Linux's own limit where nobody raised it

_KINDS: Final[tuple[ApiKind, ...]] = ("services", "endpointslices", "endpoints", "pods", "namespaces")
API_FILES: Final = tuple(f"{kind}.json" for kind in ("nodes", *_KINDS, "version"))


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
    # What reaches clusters takes its time to import.
    from kinspect.pipeline.gather.live import Plan, read_cluster

    reading = read_cluster(
        source,
        Plan(
            kinds=_KINDS,
            services=request.services,
            namespace=request.namespace,
            nodes=request.nodes,
            connections=CONNECTIONS if request.conntrack else 0,
            for_keeping=True,
        ),
    )
    return _kept(request, reading.snapshot(), reading.services)


def _recorded(request: CaptureRequest, source: Source) -> Captured:
    """A capture of what was recorded already, to narrow or to redact it."""
    assert not isinstance(source, Live)
    snapshot = open_rules(source) if isinstance(source, Rules) else open_recorded(source)
    services: list[ServiceKey] = []
    if request.services:
        cluster = Cluster(snapshot.api, snapshot.origin)
        services = [
            cluster.service(ns or request.namespace or "default", name).key for ns, name in request.services
        ]
    return _kept(request, snapshot, services)


def _kept(request: CaptureRequest, snapshot: Snapshot, services: Sequence[ServiceKey]) -> Captured:
    """Of a snapshot what is asked for, without what may hold secrets, and its manifest."""
    old = snapshot.manifest or Manifest(started=now(), finished=now(), source=snapshot.origin)
    api = _narrowed(snapshot.api, request.namespace, services)
    wanted = selected(snapshot, request.nodes)
    nodes = {name: _files_kept(request, wanted[name]) for name in wanted if can_be_kept(name)}
    failed = {
        name: why for name, why in snapshot.failed.items() if not request.nodes or name in request.nodes
    }
    records: dict[str, NodeRecord] = {}
    for name in (*wanted, *failed):
        record = old.nodes.get(name, NodeRecord())
        records[name] = msgspec.structs.replace(record, error=failed.get(name, record.error))
    manifest = msgspec.structs.replace(
        old,
        kinspect=__version__,
        started=old.started or now(),
        finished=old.finished or now(),
        server=_server(api),
        services=tuple("/".join(key) for key in services) or old.services,
        namespace=request.namespace or old.namespace,
        api=_lists(api, {kind: record.error for kind, record in old.api.items() if record.error}),
        changed=_changed(old, api),
        nodes=_records(records, nodes),
    )
    failed = {NodeName(name): record.error for name, record in manifest.nodes.items() if record.error}
    return Captured(replace(snapshot, api=api, nodes=nodes, failed=failed, manifest=manifest), manifest)


def _narrowed(lists: Files, namespace: str | None, services: Sequence[ServiceKey]) -> dict[str, bytes]:
    """The lists that are kept, never those of Secrets, with the objects that are asked for."""
    api = {file: lists[file] for file in API_FILES if file in lists}
    if "pods.json" in api:
        api["pods.json"] = without_secrets(api["pods.json"])
    return narrowed(api, namespace, services)


def _files_kept(request: CaptureRequest, files: Files) -> Files:
    if request.conntrack:
        return dict(files)
    return {file: files[file] for file in files if file not in names.CONNECTIONS}


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


def _changed(old: Manifest, api: Files) -> tuple[str, ...]:
    """Of the services that are kept, those whose endpoints changed while nodes were read."""
    kept = {"/".join(key) for key in Cluster(api, "").service_names()}
    return tuple(key for key in old.changed if key in kept)
