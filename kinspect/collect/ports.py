"""The two ports to the outside world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from kinspect.snapshot.types import Files, NodeName

ApiKind = Literal["services", "endpointslices", "endpoints", "nodes", "pods", "namespaces"]


@dataclass(frozen=True, slots=True)
class RemoteNode:
    """A node to connect to: its name, and its addresses in the API.

    ``addresses`` maps the type (InternalIP, ExternalIP, Hostname) to the first of that type.
    """

    name: NodeName
    addresses: Mapping[str, str]


class ClusterApi(Protocol):
    """Lists kinds, as the API's own JSON. Never asks for Secrets."""

    def list(
        self,
        kind: ApiKind,
        *,
        namespace: str | None = None,
        name: str | None = None,
        label_selector: str | None = None,
    ) -> bytes:
        """The list of a kind as one JSON document ``{"kind": …List, "items": […]}``.

        With ``name`` the list has that one object, or none where there is no such object.
        Raises ApiError: unreachable, not authenticated, or not permitted (naming the permission).
        """
        ...

    def version(self) -> bytes:
        """What ``/version`` says, as JSON. Raises ApiError."""
        ...


class NodeShell(Protocol):
    """Reads the files of one node, by some transport."""

    @property
    def transport(self) -> str:
        """The transport's name, as in ``--transport``."""
        ...

    def address(self, host: RemoteNode) -> str:
        """The address of a node. Raises NodeError if there is none."""
        ...

    def close(self) -> None:
        """End all running commands, from another thread; no further ones are started."""
        ...

    def fetch(self, host: RemoteNode) -> Files:
        """The node's files (see ``snapshot.types``) as its tools printed them.

        Raises NodeError with the reason: not reachable, host key changed, not permitted, …
        """
        ...


class CounterShell(NodeShell, Protocol):
    """A NodeShell that can read the rules of a node again and again."""

    def readings(self, host: RemoteNode, interval: int) -> Iterator[Files]:
        """The node's dumps, with their counters, and so many seconds between; without end.

        Raises NodeError as ``fetch`` does, also in the middle: the connection ended, no answer in time.
        """
        ...
