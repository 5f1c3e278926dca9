"""A snapshot: the API's lists and each node's dumps, as they came.

The layout is that of the files (and of the archive that ``capture`` writes)::

    manifest.json           what was read, when, how, and what failed (``snapshot.manifest``)
    api/KIND.json           the API's own list: services, endpointslices, endpoints, nodes, pods, …
    nodes/NODE/FILE         what a tool printed on the node: iptables-save.txt, ip-addr.json, …

Any file may be missing, and any may be gzipped (``FILE.gz``); names here are without ``.gz``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NewType

from kinspect.snapshot.manifest import INTERRUPTED, Command, Manifest

NodeName = NewType("NodeName", str)

Files = Mapping[str, bytes]
"""File name to content. May read lazily: a look-up may raise SnapshotError."""


class Fetched(dict[str, bytes]):
    """The files of a node, with the commands that brought them, or did not."""

    def __init__(self, files: Mapping[str, bytes], ran: Sequence[Command] = ()) -> None:
        super().__init__(files)
        self.ran = tuple(ran)


# Files of a node. The first that exists of a family's dumps is used; the two back ends are
# kept apart where a node has both.
IPTABLES = "iptables-save.txt"
IP6TABLES = "ip6tables-save.txt"
IPTABLES_LEGACY = "iptables-legacy-save.txt"
IPTABLES_NFT = "iptables-nft-save.txt"
IP6TABLES_LEGACY = "ip6tables-legacy-save.txt"
IP6TABLES_NFT = "ip6tables-nft-save.txt"
IPSET = "ipset-save.txt"
IP_ADDR = "ip-addr.json"
IP_ROUTE = "ip-route.json"
IP6_ROUTE = "ip-6-route.json"
IP_RULE = "ip-rule.json"
IP6_RULE = "ip-6-rule.json"
IP_NEXTHOP = "ip-nexthop.json"
CONNTRACK = "conntrack.txt"  # of IPv4, or of both families
CONNTRACK6 = "conntrack-6.txt"
CONNECTIONS = (CONNTRACK, CONNTRACK6)
VERSION = "iptables-version.txt"
SYSCTL = "sysctl.txt"
PROXY_MODE = "proxy-mode.txt"
NFT_TABLES = "nft-tables.txt"
IPVS = "ip-vs.txt"

NODE_FILES = (
    IPTABLES, IP6TABLES, IPTABLES_LEGACY, IPTABLES_NFT, IP6TABLES_LEGACY, IP6TABLES_NFT, IPSET, IP_ADDR,
    IP_ROUTE, IP6_ROUTE, IP_RULE, IP6_RULE, IP_NEXTHOP, CONNTRACK, CONNTRACK6, VERSION, SYSCTL, PROXY_MODE,
    NFT_TABLES,
    IPVS,
)  # fmt: skip


_NEEDED = frozenset({"services", "endpointslices", "endpoints"})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a cluster.

    ``failed`` names the nodes that could not be read, with the reason: a node is in ``nodes``
    or in ``failed``, or in both where a part of it was read. ``excluded`` names those that the user
    leaves out on purpose.
    """

    origin: str
    api: Files = field(default_factory=dict)
    nodes: Mapping[NodeName, Files] = field(default_factory=dict)
    failed: Mapping[NodeName, str] = field(default_factory=dict)
    paths: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (node, file) as users named it
    manifest: Manifest | None = None
    excluded: Collection[str] = frozenset()

    @property
    def lacking(self) -> list[str]:
        """Lists of the API that the capture lacks and answers depend on, in words."""
        return self._unread(_NEEDED)

    @property
    def remarks(self) -> list[str]:
        """Other lists that the capture lacks, in words."""
        return self._unread(self.manifest.api.keys() - _NEEDED if self.manifest else ())

    @property
    def moved(self) -> frozenset[tuple[str, str]]:
        """Services whose endpoints changed while nodes were read: rules may be of before or of after."""
        return self.manifest.moved if self.manifest else frozenset()

    def covers(self, service: tuple[str, str]) -> bool:
        """Whether the lists have such a service if the API does: a capture may be narrowed to some."""
        return self.manifest is None or self.manifest.covers(service)

    def _unread(self, kinds: Collection[str]) -> list[str]:
        lists = self.manifest.api if self.manifest else {}
        return [
            f"{kind}: not in {self.origin}: "
            + ("the capture was interrupted" if record.error == INTERRUPTED else record.error)
            for kind, record in lists.items()
            if record.error is not None and kind in kinds
        ]
