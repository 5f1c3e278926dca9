"""A snapshot: the API's lists and each node's dumps, as they came.

The layout is that of the files (and of the archive that ``capture`` writes)::

    api/KIND.json           the API's own list: services, endpointslices, endpoints, nodes, pods, …
    nodes/NODE/FILE         what a tool printed on the node: iptables-save.txt, ip-addr.json, …

Any file may be missing, and any may be gzipped (``FILE.gz``); names here are without ``.gz``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

NodeName = NewType("NodeName", str)

Files = Mapping[str, bytes]
"""File name to content. May read lazily: a look-up may raise SnapshotError."""

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
CONNTRACK = "conntrack.txt"
VERSION = "iptables-version.txt"
SYSCTL = "sysctl.txt"
PROXY_MODE = "proxy-mode.txt"
NFT_TABLES = "nft-tables.txt"
IPVS = "ip-vs.txt"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of a cluster.

    ``failed`` names the nodes that could not be read, with the reason: a node is in ``nodes``
    or in ``failed``, or in both where a part of it was read.
    """

    origin: str
    api: Files = field(default_factory=dict)
    nodes: Mapping[NodeName, Files] = field(default_factory=dict)
    failed: Mapping[NodeName, str] = field(default_factory=dict)
    paths: Mapping[tuple[str, str], str] = field(default_factory=dict)  # (node, file) as users named it
