"""The API's lists as objects that can be changed; unchanged ones stay as they were read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Literal, TypeAlias

import msgspec

from kinspect.errors import NotFound, SnapshotError
from kinspect.model.changes import Key
from kinspect.snapshot.types import Files

Kind: TypeAlias = Literal["services", "endpointslices", "pods", "nodes"]
Object: TypeAlias = dict[str, Any]

SERVICE_NAME = "kubernetes.io/service-name"


class _Meta(msgspec.Struct, rename="camel", gc=False):
    name: str = ""
    namespace: str = ""
    labels: dict[str, str] | None = None


class _Spec(msgspec.Struct, rename="camel", gc=False):
    selector: dict[str, Any] | None = None
    node_name: str | None = None
    traffic_distribution: str | None = None


class Head(msgspec.Struct, gc=False):
    """The fields that are read of every object: enough to find those that a change affects."""

    metadata: _Meta = msgspec.field(default_factory=_Meta)
    spec: _Spec | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.metadata.labels or {}


class _List(msgspec.Struct):
    items: list[msgspec.Raw] | None = None


class Objects:
    """The objects of some kinds, by namespace and name. Any look-up may raise SnapshotError."""

    def __init__(self, api: Files, origin: str) -> None:
        self._api = api
        self._origin = origin
        self._raw: dict[Kind, dict[Key, msgspec.Raw]] = {}
        self._heads: dict[Kind, dict[Key, Head]] = {}
        self._changed: dict[Kind, dict[Key, Object | None]] = {}

    def has(self, kind: Kind) -> bool:
        """Whether the kind was read at all."""
        return f"{kind}.json" in self._api

    def _read(self, kind: Kind) -> dict[Key, msgspec.Raw]:
        if kind not in self._raw:
            found: dict[Key, msgspec.Raw] = {}
            heads: dict[Key, Head] = {}
            data = self._api.get(f"{kind}.json", b"{}")
            try:
                for raw in msgspec.json.decode(data, type=_List).items or ():
                    head = msgspec.json.decode(raw, type=Head)
                    key = (head.metadata.namespace, head.metadata.name)
                    found[key], heads[key] = raw, head
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise SnapshotError(
                    f"{self._origin}: api/{kind}.json is not a list of the Kubernetes API: {error}",
                    hint=f"kubectl get {kind} -A -o json writes one",
                ) from error
            self._raw[kind], self._heads[kind] = found, heads
        return self._raw[kind]

    def heads(self, kind: Kind) -> Mapping[Key, Head]:
        """The heads of all objects of a kind."""
        self._read(kind)
        return self._heads[kind]

    def get(self, kind: Kind, key: Key) -> Object | None:
        """An object, which must not be changed; None: there is none."""
        changed = self._changed.get(kind, {})
        if key in changed:
            return changed[key]
        raw = self._read(kind).get(key)
        if raw is None:
            return None
        found = msgspec.json.decode(raw)
        assert isinstance(found, dict)  # a head was read of it
        return found

    def edited(self, kind: Kind, key: Key) -> Object:
        """An object that may be changed in place. Raises NotFound."""
        changed = self._changed.setdefault(kind, {})
        found = changed.get(key)
        if found is None:
            found = self.get(kind, key)
            if found is None:
                raise self.missing(kind, key)
            changed[key] = found
        return found

    def missing(self, kind: Kind, key: Key) -> NotFound:
        """The error for an object that does not exist."""
        name = "/".join(part for part in key if part)
        scope = "" if kind == "nodes" else " -A"
        return NotFound(
            f"there is no {kind[:-1]} {name} in {self._origin}", hint=f"kubectl get {kind}{scope} lists them"
        )

    def put(self, kind: Kind, item: Object) -> None:
        """Add an object, or replace the one of its name."""
        meta = item["metadata"]
        key = (meta.get("namespace", ""), meta["name"])
        self._read(kind)
        self._changed.setdefault(kind, {})[key] = item
        self.noticed(kind, key)

    def noticed(self, kind: Kind, key: Key) -> None:
        """An object was changed in place: its head is read again."""
        item = self._changed[kind][key]
        if item is not None:
            self._heads[kind][key] = msgspec.convert(item, type=Head)

    def delete(self, kind: Kind, key: Key) -> None:
        """Remove an object. Raises NotFound."""
        if self.get(kind, key) is None:
            raise self.missing(kind, key)
        self._changed.setdefault(kind, {})[key] = None
        self._heads[kind].pop(key, None)

    def keys(self, kind: Kind) -> Iterator[Key]:
        """All objects of a kind, in their order, new ones last."""
        yield from tuple(self.heads(kind))

    def touched(self, kind: Kind) -> Mapping[Key, Object | None]:
        """The changed objects; None: removed."""
        return self._changed.get(kind, {})

    @cached_property
    def slices_by_service(self) -> Mapping[Key, list[Key]]:
        """The EndpointSlices that were read, by their service."""
        found: dict[Key, list[Key]] = {}
        for key, head in self.heads("endpointslices").items():
            name = head.labels.get(SERVICE_NAME)
            if name:
                found.setdefault((key[0], name), []).append(key)
        return found

    def files(self) -> dict[str, bytes]:
        """The lists with the changes; a kind without changes is the very same bytes."""
        files = {name: self._api[name] for name in self._api}
        for kind, changed in self._changed.items():
            if changed:
                files[f"{kind}.json"] = self._encoded(kind, changed)
        return files

    def _encoded(self, kind: Kind, changed: Mapping[Key, Object | None]) -> bytes:
        name = f"{kind}.json"
        head = {"apiVersion": "v1", "kind": "List"}
        whole: dict[str, Any] = dict(head)
        if name in self._api:
            whole = dict(msgspec.json.decode(self._api[name], type=dict[str, msgspec.Raw]))
        items: list[Any] = []
        for key, raw in self._read(kind).items():
            if key not in changed:
                items.append(raw)
            elif changed[key] is not None:
                items.append(changed[key])
        items += [item for key, item in changed.items() if item is not None and key not in self._raw[kind]]
        whole["items"] = items
        return msgspec.json.encode(whole) + b"\n"
