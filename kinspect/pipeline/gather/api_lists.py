"""Lists of the API with fewer objects, or fewer fields; what stays is byte for byte as it came."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Final

import msgspec

from kinspect.errors import SnapshotError
from kinspect.parse.api.cluster import Cluster
from kinspect.snapshot.types import Files

ServiceKey = tuple[str, str]
SERVICE_LABEL: Final = "kubernetes.io/service-name"  # Kubernetes docs, "EndpointSlices": Ownership

# Parts of a pod that may hold secrets (environments, command lines, annotations of what was applied)
# and that nothing asks for. Of containers the name and the ports stay: a hostPort has rules too.
POD_SECRETS: Final = (
    "metadata.annotations", "metadata.managedFields", "spec.containers", "spec.initContainers",
    "spec.ephemeralContainers", "spec.volumes", "status.containerStatuses",
    "status.initContainerStatuses", "status.ephemeralContainerStatuses",
)  # fmt: skip
_CONTAINER: Final = ("name", "ports")


class _Meta(msgspec.Struct, rename="camel"):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None


class _Object(msgspec.Struct):
    metadata: _Meta = msgspec.field(default_factory=_Meta)


class _List(msgspec.Struct, rename="camel"):
    metadata: _Meta = msgspec.field(default_factory=_Meta)
    items: list[msgspec.Raw] | None = None


def _decoded(data: bytes, what: str) -> _List:
    try:
        return msgspec.json.decode(data, type=_List)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(f"{what} is not a list of the Kubernetes API: {error}") from error


def outline(data: bytes, what: str) -> tuple[str | None, int]:
    """The resourceVersion and the number of objects of a list. Raises SnapshotError."""
    found = _decoded(data, what)
    return found.metadata.resource_version or None, len(found.items or ())


def versions(data: bytes, what: str) -> dict[ServiceKey, set[tuple[str, str]]]:
    """Name and resourceVersion of the objects of each service: EndpointSlices or Endpoints."""
    found: dict[ServiceKey, set[tuple[str, str]]] = {}
    for raw in _decoded(data, what).items or ():
        meta = msgspec.json.decode(raw, type=_Object).metadata
        name = (meta.labels or {}).get(SERVICE_LABEL, meta.name)
        found.setdefault((meta.namespace, name), set()).add((meta.name, meta.resource_version))
    return found


def differing(before: bytes, after: bytes, what: str) -> set[ServiceKey]:
    """The services whose EndpointSlices or Endpoints are others in two lists."""
    old, new = versions(before, what), versions(after, what)
    return {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def without_secrets(pods: bytes, what: str = "pods.json") -> bytes:
    """A list of pods without the fields of POD_SECRETS. Raises SnapshotError."""
    return _with_items(pods, [_bare(raw) for raw in _decoded(pods, what).items or ()])


def _bare(raw: msgspec.Raw) -> msgspec.Raw:
    pod = msgspec.json.decode(raw)
    if not isinstance(pod, dict):
        return msgspec.Raw(b"{}")
    for path in POD_SECRETS:
        part, name = path.split(".")
        fields = pod.get(part)
        gone = fields.pop(name, None) if isinstance(fields, dict) else None
        if path == "spec.containers" and isinstance(gone, list):
            containers = [container for container in gone if isinstance(container, dict)]
            pod[part][name] = [{key: c[key] for key in _CONTAINER if key in c} for c in containers]
    return msgspec.Raw(msgspec.json.encode(pod))


def narrowed(api: Files, namespace: str | None, services: Collection[ServiceKey]) -> dict[str, bytes]:
    """The lists with what belongs to the services alone, or to the namespace; nodes stay as they are.

    A service's own: itself, its EndpointSlices and Endpoints, its namespace, and the pods behind it.
    Raises SnapshotError.
    """
    if not services and namespace is None:
        return dict(api)
    cluster = Cluster(api, "the API")
    pods = {e.pod for key in services for e in cluster.endpoints(key) if e.pod}
    spaces: set[str | None] = {space for space, _ in services} or {namespace}

    def of_service(meta: _Meta) -> bool:
        return not services or (meta.namespace, (meta.labels or {}).get(SERVICE_LABEL, meta.name)) in services

    keep: Mapping[str, Callable[[_Meta], bool]] = {
        "services.json": lambda meta: not services or (meta.namespace, meta.name) in services,
        "endpointslices.json": of_service,
        "endpoints.json": lambda meta: not services or (meta.namespace, meta.name) in services,
        "pods.json": lambda meta: not services or (meta.namespace, meta.name) in pods,
    }
    found = {}
    for file in api:
        data = api[file]
        if file == "namespaces.json":
            data = _filtered(data, file, lambda meta: meta.name in spaces)
        elif file in keep:
            data = _filtered(data, file, partial(_both, spaces, keep[file]))
        found[file] = data
    return found


def _both(spaces: Collection[str | None], wanted: Callable[[_Meta], bool], meta: _Meta) -> bool:
    return meta.namespace in spaces and wanted(meta)


def _filtered(data: bytes, what: str, wanted: Callable[[_Meta], bool]) -> bytes:
    items = _decoded(data, what).items or []
    kept = [raw for raw in items if wanted(msgspec.json.decode(raw, type=_Object).metadata)]
    return data if len(kept) == len(items) else _with_items(data, kept)


def _with_items(data: bytes, items: list[msgspec.Raw]) -> bytes:
    whole: dict[str, msgspec.Raw] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    whole["items"] = msgspec.Raw(msgspec.json.encode(items))
    return msgspec.json.encode(whole) + b"\n"
