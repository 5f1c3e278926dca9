"""The two ports to the outside world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from kinspect.snapshot.types import Files, NodeName

ApiKind = Literal["services", "endpointslices", "endpoints", "nodes", "pods", "namespaces"]


@dataclass(frozen=True, slots=True)
class RemoteNode:
    """A node as it can be reached: its name and the addresses that the API gives for it.

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
    """Brings the files of one node, by whatever transport."""

    @property
    def transport(self) -> str:
        """Its name, as ``--transport`` has it."""
        ...

    def address(self, host: RemoteNode) -> str:
        """Where it looks for a node. Raises NodeError where it has nowhere to look."""
        ...

    def close(self) -> None:
        """End what is running, from another thread; nothing is started any more."""
        ...

    def fetch(self, host: RemoteNode) -> Files:
        """The node's files (see ``snapshot.types``) as its tools printed them.

        Raises NodeError with the reason: not reachable, host key changed, not permitted, …
        """
        ...
