"""SYNPROXY: this host answers a TCP handshake before the server hears of it (kernel: ipt_SYNPROXY.c)."""

from __future__ import annotations

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
from kinspect.netfilter.options import Options, integer

ALWAYS_OPEN: Final = "the host answers in the server's place; what follows is another packet"
OPTIONS: Final = {
    "--sack-perm": 0, "--timestamp": 0, "--timestamps": "--timestamp", "--wscale": 1, "--mss": 1, "--ecn": 0,
}  # fmt: skip

_ASKED: Final = TcpFlag.SYN | TcpFlag.ACK | TcpFlag.FIN | TcpFlag.RST


@dataclass(frozen=True, slots=True)
class Synproxy:
    """Takes SYNs and the ACKs that answer its own; the server gets a SYN once a client has answered."""

    def described(self) -> Described:
        """Its name."""
        return Described("SYNPROXY")

    def distinguishes(self) -> Distinctions:
        """Its question is the same for all packets."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """The connection goes on as the packet is, or ends, as the client answers or does not."""
        flags = packet.tcp_flags
        if packet.protocol != TCP or (flags is not None and flags & _ASKED not in (TcpFlag.SYN, TcpFlag.ACK)):
            return Proceed(packet)
        answers = undecided("conversation", "the client completes the handshake with SYNPROXY")
        return OneOf(((answers, End(Verdict.ACCEPT, packet)), (ALWAYS, End(Verdict.DROP, packet))))


def read(options: Options) -> Synproxy:
    """What it offers is of no account here."""
    for option in options:
        if option.values:
            option.read(lambda text: integer(text, 0, 0xFFFF), "a number")
    return Synproxy()
