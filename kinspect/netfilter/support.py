"""How far each extension is modelled: decided, always a question (with the reason), or without effect.

Derived from the module that reads it, so nothing is listed twice.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

from kinspect.netfilter import registry


class Support(enum.Enum):
    """How far kinspect models an extension."""

    DECIDED = "decided"  # by the packet, the host, and stated assumptions
    UNDECIDED = "undecided"  # always a question, which names the missing fact
    INERT = "always_true"  # matches every packet, or has no effect that a trace sees
    UNKNOWN = "unknown"  # not known to kinspect: kept as written, and undecided


# By module, with the fact that no dump holds.
_UNDECIDED: Final[Mapping[str, str]] = {
    "limits": "it depends on earlier packets",
    "always_open": "it depends on a clock, a payload, a program or a processor",
    "socket": "it depends on the host's sockets",
    "realm": "routes of a snapshot have no realms",
    "queue": "it depends on a program on the host",
    "tproxy": "a program on the host receives the packet, if it listens",
    "synproxy": "the host answers in place of the server; what follows is another packet",
}
_INERT: Final = frozenset({"always_true", "no_effect"})


def match(name: str) -> Support:
    """How far a match (``-m``) is modelled."""
    return _of(registry.MATCHES.get(name))


def target(name: str) -> Support:
    """How far a target (``-j``) that is not a chain is modelled."""
    return _of(registry.TARGETS.get(name))


def why(name: str) -> str | None:
    """Why a match or target is always a question; None if it is not."""
    return _UNDECIDED.get(registry.MATCHES.get(name) or registry.TARGETS.get(name) or "")


def _of(module: str | None) -> Support:
    if module is None:
        return Support.UNKNOWN
    if module in _UNDECIDED:
        return Support.UNDECIDED
    return Support.INERT if module in _INERT else Support.DECIDED
