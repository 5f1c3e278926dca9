"""How far each extension is understood: decided, a question with a reason, or of no account.

Told by the module that reads it, so nothing is listed twice.
"""

from __future__ import annotations

import enum
from typing import Final

from kinspect.netfilter import registry


class Standing(enum.Enum):
    """What kinspect makes of an extension."""

    DECIDED = "decided"  # by the packet, the host and stated assumptions
    UNDECIDED = "undecided"  # always a question, which names what no dump tells
    INERT = "inert"  # holds for every packet, or does nothing that a trace sees
    UNKNOWN = "unknown"  # never heard of: kept as it stands, and undecided


_UNDECIDED: Final = frozenset({"limits", "unread", "socket", "realm", "queue", "tproxy", "synproxy"})
_INERT: Final = frozenset({"inert", "aside"})


def match(name: str) -> Standing:
    """The standing of a match (``-m``)."""
    return _of(registry.MATCHES.get(name))


def target(name: str) -> Standing:
    """The standing of a target (``-j``) that is no chain."""
    return _of(registry.TARGETS.get(name))


def _of(module: str | None) -> Standing:
    if module is None:
        return Standing.UNKNOWN
    if module in _UNDECIDED:
        return Standing.UNDECIDED
    return Standing.INERT if module in _INERT else Standing.DECIDED
