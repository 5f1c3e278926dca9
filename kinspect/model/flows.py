"""Existing connections: entries of nodes' connection tracking, and the connections to services in them."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from kinspect.errors import Status
from kinspect.model.answer import Via
from kinspect.model.cluster import EndpointOwner, ServicePort
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined

ServiceKey: TypeAlias = tuple[str, str]

Stale = Literal["endpoint-gone", "not-by-rules", "untranslated"]
"""Why a connection could not be opened now.

``endpoint-gone``: the API does not list its endpoint for the service. ``not-by-rules``: the
present rules of the node that translated it would not send it there. ``untranslated``: it goes to an
address of a service, but no rule translated it, and nothing answers.
"""

CLOSING: Final = frozenset({
    "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE",  # TCP: from the first FIN on
    "SHUTDOWN_SENT", "SHUTDOWN_RECD", "SHUTDOWN_ACK_SENT", "CLOSED",  # SCTP
    "CLOSEREQ", "CLOSING", "TIMEWAIT",  # DCCP
})  # fmt: skip
"""States of a closing connection: it is listed, but never counted as traffic."""


class Tracked(msgspec.Struct, frozen=True, gc=False):
    """One entry of a node's connection tracking table.

    Addresses are text in their shortest form, because a table may have a million of them: they are
    compared, and only few are parsed. Ports are None for protocols without ports. The ``reply``
    fields are those of the packets that come back, so ``reply_src`` is where the packets really go.
    ``timeout`` is in seconds, None for a connection that is offloaded. ``packets`` and ``bytes``
    count both directions; None if the node does not count (nf_conntrack_acct).
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
    """The wanted entries of a node's connection tracking table.

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
    they have there if it was rewritten. ``placed``: it is known on which node ``to`` is, or that it is
    on none. ``timeout`` and ``idle`` are in seconds; ``idle`` is None
    if the node's timeouts, or how long it was idle, are not known.
    """

    node: str
    protocol: str
    src: str
    sport: int | None
    dst: str
    dport: int | None
    to: str
    to_address: str
    to_port: int | None
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
    endpoint: EndpointOwner = EndpointOwner()
    placed: bool = True
    client: EndpointOwner = EndpointOwner()
    stale: Stale | None = None
    translated: bool = True  # False: it goes to an endpoint's own address, or see ``untranslated``

    @property
    def closing(self) -> bool:
        """Whether it is ending: listed, and not counted as traffic."""
        return self.state in CLOSING

    @property
    def own(self) -> bool:
        """Whether its sender is on the node where it entered."""
        return self.client.node == self.node


class FlowsRow(msgspec.Struct, frozen=True, kw_only=True):
    """The connections of one service port to one endpoint, counted: by state, by entry node, by why stale.

    ``idle`` is the longest, in seconds. ``closing`` ones are not in the other numbers.
    """

    service: ServiceKey | None
    port: ServicePort | None
    protocol: str
    to: str
    to_address: str
    endpoint: EndpointOwner
    connections: int
    closing: int
    states: tuple[tuple[str, int], ...]
    entered: tuple[tuple[str, int], ...]
    idle: int | None
    stale: tuple[tuple[str, int], ...]


class FlowsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kinspect flows`` answers.

    ``nodes`` are those whose tables were read; ``diagnostics`` says which connections are not known,
    and why. ``direct`` counts connections straight to an endpoint's address that are not listed.
    ``fail``: any listed connection is a failure.
    """

    flows: tuple[Flow, ...]
    rows: tuple[FlowsRow, ...] = ()
    fail: bool = False
    nodes: tuple[str, ...] = ()
    direct: int = 0
    diagnostics: Diagnostics = NONE

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """The unknowns."""
        return self.diagnostics.undetermined

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings."""
        return self.diagnostics.warnings

    @property
    def connections(self) -> int:
        """The number of listed connections that are not closing."""
        return sum(not flow.closing for flow in self.flows)

    @property
    def status(self) -> Status:
        """A connection that should not exist takes precedence over unknowns."""
        if self.fail and self.connections:
            return "violated"
        return "undetermined" if self.diagnostics.undetermined else "answered"
