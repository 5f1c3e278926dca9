"""Where facts come from: a recorded snapshot, the demo, dumps taken by hand, a live cluster.

Light to import: the command line needs the names of sources for its help.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from kinspect.collect.options import NodeOptions, Progress, SshOptions
from kinspect.errors import CallError, NotFound

if TYPE_CHECKING:
    from kinspect.model.packet import Family
    from kinspect.snapshot.types import Snapshot


@dataclass(frozen=True, slots=True)
class Recorded:
    """A snapshot: a folder or an archive; without the nodes to ``exclude``."""

    path: Path
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Demo:
    """The snapshot that ships with kinspect: the story of the README."""

    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RulesFile:
    """iptables-save output taken by hand; ``read`` gives its bytes."""

    node: str | None
    name: str
    read: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Rules:
    """Dumps taken by hand, and no cluster."""

    files: tuple[RulesFile, ...]
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Live:
    """The cluster of a kubeconfig, and its nodes over a transport."""

    kubeconfig: str | None = None
    context: str | None = None
    reach: NodeOptions = field(default_factory=SshOptions)
    parallel: int | None = None
    progress: Progress | None = None
    exclude: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Opened:
    """A snapshot that is in memory already, with the namespace in use."""

    snapshot: Snapshot
    namespace: str


Source: TypeAlias = Recorded | Demo | Rules | Live | Opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of a live cluster is needed: one service or all, pods or not, which nodes.

    ``connections``: nodes' connection tracking tables too, whole. ``settles``: services whose endpoints
    should stay the same while nodes are read; if they do not, all is read once more.
    """

    service: tuple[str | None, str] | None = None  # namespace or the one in use, name
    namespace: str | None = None
    pods: bool = False
    pods_if_allowed: bool = False  # go on without them if the API does not let us list them
    settles: Callable[[tuple[str, str]], bool] | None = None
    connections: bool = False
    nodes: Sequence[str] = ()
    family: Family | None = None  # of rules by hand that do not tell it


def check_excluded(names: Collection[str], known: Sequence[str], origin: str) -> None:
    """Raise NotFound for a name to exclude that no node has, CallError if no node would be left."""
    if not names:
        return
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise NotFound(
            f"--exclude-node: there is no node {unknown[0]} in {origin}",
            hint=f"it has: {', '.join(known[:20]) or 'none'}",
        )
    if not set(known) - set(names):
        raise CallError(f"--exclude-node leaves no node of {origin}")
