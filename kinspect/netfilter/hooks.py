"""The order in which the kernel consults tables at each hook (netfilter priorities, as a table).

Source: NF_IP_PRI_* in the kernel's netfilter_ipv4.h: raw -300, conntrack -200, mangle -150,
destination nat -100, filter 0, security 50, source nat 100.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from kinspect.model.rules import IptablesBackend, TableName

Hook = Literal["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
Manipulation = Literal["dst", "src"]


@dataclass(frozen=True, slots=True)
class Stage:
    """A table at a hook; ``binds`` is the side of a connection that a nat table translates there.

    ``backend``: only the rules of this back end, or of all others with ``not_backend``.
    """

    table: TableName
    hook: Hook
    binds: Manipulation | None = None
    backend: IptablesBackend | None = None
    not_backend: IptablesBackend | None = None

    def asks(self, backend: IptablesBackend | None) -> bool:
        """Whether the rules of a back end are consulted here."""
        return self.backend in (None, backend) and (self.not_backend is None or backend != self.not_backend)


@dataclass(frozen=True, slots=True)
class Track:
    """Connection tracking: from here on a packet belongs to a connection, unless it is untracked."""


@dataclass(frozen=True, slots=True)
class Defragment:
    """Fragments wait here for the rest of their datagram if connection tracking is on.

    Priority -400 (NF_IP_PRI_CONNTRACK_DEFRAG): ahead of all tables.
    """


def _stage(table: str, hook: Hook, binds: Manipulation | None = None) -> Stage:
    return Stage(TableName(table), hook, binds)


SECURITY: Final = TableName("security")


PREROUTING: Final = (
    Defragment(),
    _stage("raw", "PREROUTING"),
    Track(),
    _stage("mangle", "PREROUTING"),
    _stage("nat", "PREROUTING", "dst"),
)
# iptables-nft gives its security chains priority 150, behind nat; the kernel's own table has 50.
INPUT: Final = (
    _stage("mangle", "INPUT"),
    _stage("filter", "INPUT"),
    Stage(SECURITY, "INPUT", not_backend="nft"),
    _stage("nat", "INPUT", "src"),
    Stage(SECURITY, "INPUT", backend="nft"),
)
FORWARD: Final = (_stage("mangle", "FORWARD"), _stage("filter", "FORWARD"), _stage("security", "FORWARD"))
# After mangle the packet is routed again if its mark changed, after nat if its destination changed.
OUTPUT_RAW: Final = (Defragment(), _stage("raw", "OUTPUT"), Track())
OUTPUT_MANGLE: Final = (_stage("mangle", "OUTPUT"),)
OUTPUT_NAT: Final = (_stage("nat", "OUTPUT", "dst"),)
OUTPUT_FILTER: Final = (_stage("filter", "OUTPUT"), _stage("security", "OUTPUT"))
POSTROUTING: Final = (_stage("mangle", "POSTROUTING"), _stage("nat", "POSTROUTING", "src"))
