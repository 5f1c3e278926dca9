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
from typing import Final, Literal, NewType, TypeAlias

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

Redacted: TypeAlias = Literal["rules", "sets", "connections", "fields", "lines", "left out"]
"""What ``--redact`` makes of a file: its addresses and names replaced, by the form of its text; of a
document the known fields kept; of a text the lines of a known form kept; or nothing kept."""


@dataclass(frozen=True, slots=True)
class NodeFile:
    """A file of a node, and what brings it.

    Of several commands the first that prints something is taken. ``root``: they need it.
    """

    name: str
    commands: tuple[tuple[str, ...], ...]
    redacted: Redacted
    root: bool = False


def _dump(name: str) -> NodeFile:
    return NodeFile(name, ((name.removesuffix(".txt"), "-c"),), "rules", root=True)


_SWITCHES: Final = (
    "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding",
    "net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables",
    "net.ipv4.conf.lo.route_localnet", *(
        f"net.ipv4.conf.all.{switch}"
        for switch in ("route_localnet", "rp_filter", "accept_local", "src_valid_mark", "send_redirects")
    ),
    *(f"net.netfilter.nf_conntrack_{name}" for name in (
        "count", "max", "acct", "tcp_loose", "udp_timeout", "udp_timeout_stream", "generic_timeout",
        "icmp_timeout",
        *(f"tcp_timeout_{state}" for state in (
            "close", "close_wait", "established", "fin_wait", "last_ack", "max_retrans", "syn_recv",
            "syn_sent", "time_wait", "unacknowledged",
        )),
        *(f"sctp_timeout_{state}" for state in (
            "closed", "cookie_echoed", "cookie_wait", "established", "shutdown_ack_sent", "shutdown_recd",
            "shutdown_sent",
        )),
    )),
)  # fmt: skip
# The same and those of each interface, for a sysctl that takes a pattern (not that of busybox).
SYSCTL_PATTERN: Final = (
    r"^net\.(ipv4\.ip_forward$|ipv6\.conf\.all\.forwarding$|bridge\.bridge-nf-call-ip6?tables$"
    r"|netfilter\.nf_conntrack_"
    r"|ipv6\.conf\..*\.force_forwarding$"
    r"|ipv4\.conf\..*\.(route_localnet|rp_filter|accept_local|src_valid_mark|send_redirects|forwarding)$)"
)
_PROXY_MODE: Final = "http://127.0.0.1:10249/proxyMode"  # kube-proxy's metrics address

NODE_FILES: Final[Mapping[str, NodeFile]] = {
    file.name: file
    for file in (
        *map(_dump, (IPTABLES, IP6TABLES, IPTABLES_LEGACY, IPTABLES_NFT, IP6TABLES_LEGACY, IP6TABLES_NFT)),
        NodeFile(VERSION, (("iptables", "--version"),), "lines"),
        NodeFile(IPSET, (("ipset", "save"),), "sets", root=True),
        NodeFile(NFT_TABLES, (("nft", "list", "tables"),), "lines", root=True),
        NodeFile(IP_ADDR, (("ip", "-d", "-j", "addr", "show"),), "fields"),
        NodeFile(IP_ROUTE, (("ip", "-j", "route", "show", "table", "all"),), "fields"),
        NodeFile(IP6_ROUTE, (("ip", "-6", "-j", "route", "show", "table", "all"),), "fields"),
        NodeFile(IP_RULE, (("ip", "-j", "rule", "show"),), "fields"),
        NodeFile(IP6_RULE, (("ip", "-6", "-j", "rule", "show"),), "fields"),
        NodeFile(IP_NEXTHOP, (("ip", "-j", "nexthop", "show"),), "fields"),
        NodeFile(SYSCTL, (("sysctl", "-a", "-r", SYSCTL_PATTERN), ("sysctl", "-e", *_SWITCHES)), "lines"),
        NodeFile(IPVS, (("cat", "/proc/net/ip_vs"),), "left out"),
        NodeFile(
            PROXY_MODE,
            (
                ("curl", "-s", "-f", "--noproxy", "*", "-m", "2", _PROXY_MODE),
                ("wget", "-q", "-O", "-", "-T", "2", _PROXY_MODE),
            ),
            "lines",
        ),
        NodeFile(
            CONNTRACK,
            (("conntrack", "-L", "-f", "ipv4"), ("cat", "/proc/net/nf_conntrack")),
            "connections",
            root=True,
        ),
        NodeFile(CONNTRACK6, (("conntrack", "-L", "-f", "ipv6"),), "connections", root=True),
    )
}
"""All files of a node, by name, in the order in which they are read. ``remote.sh`` brings them over SSH."""


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
