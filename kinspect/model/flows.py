"""Connections that exist: what a node's connection tracking holds, and what that is of a service."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from kinspect.model.answer import Via
from kinspect.model.cluster import Backend, ServicePort

ServiceKey: TypeAlias = tuple[str, str]

Stale = Literal["endpoint-gone", "not-by-rules", "untranslated"]
"""Why a connection is not one that could be opened now.

``endpoint-gone``: the API does not list its endpoint for the service. ``not-by-rules``: today's
rules of the node that translated it would not send it there. ``untranslated``: it goes to an
address of a service, but no rule translated it, and nothing answers.
"""

CLOSING: Final = frozenset({
    "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",  # TCP: from the first FIN on
    "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "CLOSED",  # SCTP
    "CLOSEREQ", "CLOSING", "TIMEWAIT",  # DCCP
})  # fmt: skip
"""States of a connection that ends: it is listed, and never counted as traffic."""


class Tracked(msgspec.Struct, frozen=True, gc=False):
    """One entry of a node's connection tracking table.

    Addresses are text in their shortest form, because a table may have a million of them: they are
    compared, and only few are asked about. Ports are None for protocols without ports. The ``reply``
    fields are those of the packets that come back, so ``reply_src`` is where the packets really go.
    ``timeout`` is in seconds, None for a connection that is offloaded. ``packets`` and ``bytes``
    count both directions; None where the node does not count (nf_conntrack_acct).
    """

    protocol: str
    state: str | None
    timeout: int | None
    src: str
    dst: str
    sport: int | None
    dport: int | None
    reply_src: str
    reply_dst: str
    reply_sport: int | None
    reply_dport: int | None
    replied: bool = True
    assured: bool = False
    offloaded: bool = False
    mark: int = 0
    zone: int = 0
    packets: int | None = None
    bytes: int | None = None

    @property
    def translated(self) -> bool:
        """Whether its destination was rewritten (DNAT)."""
        return self.reply_src != self.dst or self.reply_sport != self.dport

    @property
    def closing(self) -> bool:
        """Whether it is ending: see CLOSING."""
        return self.state in CLOSING


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """A node's connection tracking table as far as it was asked for.

    ``total`` counts all entries that were read, kept or not. ``cut``: there were more, which were
    not recorded.
    """

    entries: tuple[Tracked, ...] = ()
    total: int = 0
    cut: bool = False
    damaged: int = 0
    first_damage: str | None = None  # the source, the line's number, and what is wrong with it


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """One connection, counted once: at the node that translated it.

    ``to`` is the address and port that its packets really go to, ``snat`` the source address that
    they have there if it was rewritten. ``timeout`` and ``idle`` are in seconds; ``idle`` is None
    if the node's timeouts, or how long it was idle, are not known. ``own``: it comes from the node
    itself, or from a pod on it.
    """

    node: str
    protocol: str
    src: str
    sport: int | None
    dst: str
    dport: int | None
    to: str
    to_address: str
    snat: str | None = None
    state: str | None = None
    assured: bool = False
    replied: bool = True
    offloaded: bool = False
    timeout: int | None = None
    idle: int | None = None
    packets: int | None = None
    bytes: int | None = None
    service: ServiceKey | None = None
    port: ServicePort | None = None
    via: Via | None = None  # None: through no way into a service that the API knows
    endpoint: Backend | None = None
    client: Backend | None = None
    stale: Stale | None = None
    translated: bool = True  # False: it goes to an endpoint's own address, or see ``untranslated``

    @property
    def closing(self) -> bool:
        """Whether it is ending: listed, and not counted as traffic."""
        return self.state in CLOSING

    @property
    def own(self) -> bool:
        """Whether who opened it is on the node where it entered."""
        return self.client is not None and self.client.node == self.node
