"""How far each extension is understood: decided, a question with a reason, or of no account.

Declared in the module of each extension.
"""

from __future__ import annotations

import enum

from kinspect.netfilter import registry
from kinspect.netfilter.registry import Extension


class Support(enum.Enum):
    """What kinspect makes of an extension."""

    DECIDED = "decided"  # by the packet, the host and stated assumptions
    UNDECIDED = "undecided"  # always a question, which names what no dump tells
    INERT = "always_true"  # holds for every packet, or does nothing that a trace sees
    UNKNOWN = "unknown"  # never heard of: kept as it stands, and undecided


def match(name: str) -> Support:
    """The standing of a match (``-m``)."""
    return _of(registry.match(name))


def target(name: str) -> Support:
    """The standing of a target (``-j``) that is no chain."""
    return _of(registry.target(name))


def _of(extension: Extension | None) -> Support:
    if extension is None:
        return Support.UNKNOWN
    if extension.always_open:
        return Support.UNDECIDED
    return Support.INERT if extension.no_effect else Support.DECIDED
