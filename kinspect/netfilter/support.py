"""How far each extension is understood: decided, a question with a reason, or of no account.

Told by the module that reads it, so nothing is listed twice.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from kinspect.netfilter import registry


class Support(enum.Enum):
    """What kinspect makes of an extension."""

    DECIDED = "decided"  # by the packet, the host and stated assumptions
    UNDECIDED = "undecided"  # always a question, which names what no dump tells
    INERT = "always_true"  # holds for every packet, or does nothing that a trace sees
    UNKNOWN = "unknown"  # never heard of: kept as it stands, and undecided


# By module, with what it takes that no dump tells.
_UNDECIDED: Final[Mapping[str, str]] = {
    "limits": "the packets that went before decide",
    "always_open": "a clock, a payload, a program or a processor decides",
    "socket": "the sockets of the host decide",
    "realm": "a snapshot's routes do not carry realms",
    "queue": "a program on the host decides",
    "tproxy": "a program on the host takes the packet, where it listens",
    "synproxy": "the host answers in the server's place; what follows is another packet",
}
_INERT: Final = frozenset({"always_true", "no_effect"})


def match(name: str) -> Support:
    """The standing of a match (``-m``)."""
    return _of(registry.MATCHES.get(name))


def target(name: str) -> Support:
    """The standing of a target (``-j``) that is no chain."""
    return _of(registry.TARGETS.get(name))


def why(name: str) -> str | None:
    """Why a match or target leaves a question, where it always does."""
    return _UNDECIDED.get(registry.MATCHES.get(name) or registry.TARGETS.get(name) or "")


def _of(module: str | None) -> Support:
    if module is None:
        return Support.UNKNOWN
    if module in _UNDECIDED:
        return Support.UNDECIDED
    return Support.INERT if module in _INERT else Support.DECIDED
