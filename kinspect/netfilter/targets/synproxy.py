"""SYNPROXY: this host answers a TCP handshake in place of the server (kernel: ipt_SYNPROXY.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, undecided
from kinspect.model.packet import TCP, Packet, TcpFlag
from kinspect.model.rules import (
    NO_DISTINCTIONS,
    Described,
    Distinctions,
    Effect,
    End,
    OneOf,
    Proceed,
    Verdict,
)
from kinspect.netfilter.options import Options, ValueKind, integer

ALWAYS_OPEN: Final = "the host answers in place of the server; what follows is another packet"
OPTIONS: Final = {
    "--sack-perm": 0, "--timestamp": 0, "--timestamps": "--timestamp", "--wscale": 1, "--mss": 1, "--ecn": 0,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

_ASKED: Final = TcpFlag.SYN | TcpFlag.ACK | TcpFlag.FIN | TcpFlag.RST


@dataclass(frozen=True, slots=True)
class Synproxy:
    """Takes SYNs, and the ACKs that complete a handshake; only then does the server get a SYN."""

    def described(self) -> Described:
        """Its name."""
        return Described("SYNPROXY")

    def distinguishes(self) -> Distinctions:
        """Its question is the same for all packets."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """Two outcomes: the client completes the handshake, and the connection goes on; or it does not."""
        flags = packet.tcp_flags
        if packet.protocol != TCP or (flags is not None and flags & _ASKED not in (TcpFlag.SYN, TcpFlag.ACK)):
            return Proceed(packet)
        answers = undecided("conversation", "the client completes the handshake with SYNPROXY")
        return OneOf(((answers, End(Verdict.ACCEPT, packet)), (ALWAYS, End(Verdict.DROP, packet))))


def read(options: Options) -> Synproxy:
    """Any options: they do not matter here."""
    for option in options:
        if option.values:
            option.read(lambda text: integer(text, 0, 0xFFFF), "a number")
    return Synproxy()
