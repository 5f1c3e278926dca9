"""How recorded rules differ from those that kube-proxy would write."""

from __future__ import annotations

import msgspec


class ChainDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One chain that is otherwise. ``service_port`` is what it is about; None: not one service alone.

    ``absent``: the chain is not there at all; ``left_over``: kube-proxy would not have it.
    """

    table: str
    chain: str
    service_port: str | None = None
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    absent: bool = False
    left_over: bool = False
    order: bool = False  # the same rules, in another order that matters


class NodeDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One dump of a node; without ``chains``, it is as kube-proxy would write it."""
