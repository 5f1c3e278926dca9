"""Changes to a cluster, as data: what somebody might do, one value each.

Names are resolved: a pod or a service has its namespace. What follows from a change, by the API
server and controllers, is the business of ``whatif``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

Key: TypeAlias = tuple[str, str]
"""Namespace and name."""


class SetField(msgspec.Struct, frozen=True):
    """A field of a service has another value; None removes it. ``path`` begins below the object."""

    service: Key
    path: tuple[str | int, ...]
    value: Any


class Relabel(msgspec.Struct, frozen=True):
    """Labels of a pod or a node (whose namespace is empty); None removes one."""

    kind: Literal["pod", "node"]
    key: Key
    labels: Mapping[str, str | None]


class Cordon(msgspec.Struct, frozen=True):
    """A node takes no new pods; or takes them again."""

    node: str
    on: bool = True


class Drain(msgspec.Struct, frozen=True):
    """Cordon a node, and evict its pods, apart from DaemonSets' and static ones."""

    node: str


class Remove(msgspec.Struct, frozen=True):
    """Remove a pod."""

    pod: Key


class Unready(msgspec.Struct, frozen=True):
    """Make a pod's readiness probe fail."""

    pod: Key


class Terminate(msgspec.Struct, frozen=True):
    """Make a pod terminate while it still serves."""

    pod: Key


class AddPods(msgspec.Struct, frozen=True):
    """More ready pods like the service's others, on a node."""

    service: Key
    node: str
    count: int = 1


class Apply(msgspec.Struct, frozen=True):
    """An object as ``kubectl apply`` would merge it; ``source`` is the file."""

    object: Mapping[str, Any]
    source: str


class Delete(msgspec.Struct, frozen=True):
    """An object is deleted."""

    kind: Literal["service", "pod", "node"]
    key: Key


Change: TypeAlias = (
    SetField | Relabel | Cordon | Drain | Remove | Unready | Terminate | AddPods | Apply | Delete
)
