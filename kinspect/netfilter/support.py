"""How far each extension is modelled: decided, always a question (with the reason), or without effect.

Declared in the module of each extension.
"""

from __future__ import annotations

import enum

from kinspect.netfilter import registry
from kinspect.netfilter.registry import Extension


class Support(enum.Enum):
    """How far kinspect models an extension."""

    DECIDED = "decided"  # by the packet, the host, and stated assumptions
    UNDECIDED = "undecided"  # always a question, which names the missing fact
    INERT = "always_true"  # matches every packet, or has no effect that a trace sees
    UNKNOWN = "unknown"  # not known to kinspect: kept as written, and undecided


def match(name: str) -> Support:
    """How far a match (``-m``) is modelled."""
    return _of(registry.match(name))


def target(name: str) -> Support:
    """How far a target (``-j``) that is not a chain is modelled."""
    return _of(registry.target(name))


def _of(extension: Extension | None) -> Support:
    if extension is None:
        return Support.UNKNOWN
    if extension.always_open:
        return Support.UNDECIDED
    return Support.INERT if extension.no_effect else Support.DECIDED
