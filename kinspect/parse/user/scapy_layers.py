"""Scapy's layer classes that kinspect knows, imported when first needed, without output.

Scapy is imported here only: with its imports it reads the host's interfaces and routes, and logs what is
missing (no libpcap, no IPv6 route). None of that is needed to read a packet, so none of it happens.
"""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, TypeAlias

from kinspect.model.packet import ICMP, ICMPV6, SCTP, TCP, UDP, Family

LayerKind: TypeAlias = Literal["link", "network", "extension", "transport", "payload"]


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that a packet expression may name: where its class is, and its possible positions."""

    module: str
    kind: LayerKind
    family: Family | None = None  # the address family it belongs to, if any
    protocol: int | None = None  # transport: the number in the IP header that it needs


_LINK: Final = Layer("scapy.layers.l2", "link")
_ICMPV6: Final = Layer("scapy.layers.inet6", "transport", 6, ICMPV6)

LAYERS: Final[dict[str, Layer]] = {
    "Ether": _LINK,
    "Dot1Q": _LINK,
    "Dot1AD": _LINK,
    "IP": Layer("scapy.layers.inet", "network", 4),
    "IPv6": Layer("scapy.layers.inet6", "network", 6),
    "IPv6ExtHdrFragment": Layer("scapy.layers.inet6", "extension", 6),
    "TCP": Layer("scapy.layers.inet", "transport", None, TCP),
    "UDP": Layer("scapy.layers.inet", "transport", None, UDP),
    "SCTP": Layer("scapy.layers.sctp", "transport", None, SCTP),
    "ICMP": Layer("scapy.layers.inet", "transport", 4, ICMP),
    "ICMPv6EchoRequest": _ICMPV6,
    "ICMPv6EchoReply": _ICMPV6,
    "ICMPv6DestUnreach": _ICMPV6,
    "ICMPv6ND_RS": _ICMPV6,
    "ICMPv6ND_RA": _ICMPV6,
    "ICMPv6ND_NS": _ICMPV6,
    "ICMPv6ND_NA": _ICMPV6,
    "ICMPv6Unknown": _ICMPV6,
    "Raw": Layer("scapy.packet", "payload"),
}


@contextmanager
def silence() -> Iterator[list[str]]:
    """Keeps Scapy's output from standard error; its messages are in the list."""
    importlib.import_module("scapy.error")  # sets up the logger that is set aside below
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    logger = logging.getLogger("scapy")
    before = logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = [Listener(logging.WARNING)], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield said
    finally:
        logger.handlers, logger.propagate = before


@cache
def scapy_module(name: str) -> Any:
    """A module of Scapy, without the look at routes and interfaces that its first import takes."""
    with silence():
        config = importlib.import_module("scapy.config").conf
        config.route_autoload = config.route6_autoload = False
        config.warning_threshold = (
            0  # show each warning, even repeated ones: they decide whether a read succeeded
        )
        interfaces = importlib.import_module("scapy.interfaces").conf.ifaces
        interfaces.reload = lambda: None  # hides the method while Scapy's modules call it
        try:
            return importlib.import_module(name)
        finally:
            del interfaces.reload


def layer_class(name: str) -> Any:
    """The class of one of LAYERS; an unknown name is the caller's mistake."""
    return getattr(scapy_module(LAYERS[name].module), name)
