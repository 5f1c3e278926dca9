"""``-m socket``: a socket of this host receives the packet (kernel: xt_socket.c, nf_socket_ipv4.c).

An established socket, or a listening one that is bound to the address (``--nowildcard``: or to
any address). No dump has the sockets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import NEVER, Odds, undecided
from kinspect.model.packet import ICMP, ICMPV6, TCP, UDP, Packet, endpoint_text, protocol_name
from kinspect.netfilter.options import Options

ALWAYS_OPEN: Final = "it depends on the host's sockets"
OPTIONS: Final = {"--transparent": 0, "--nowildcard": 0, "--restore-skmark": 0}


@dataclass(frozen=True, slots=True)
class Socket:
    """There is a socket; with ``restores_mark`` the packet then gets the socket's mark."""

    transparent: bool = False
    wildcard: bool = False  # a socket that is bound to no address counts too
    restores_mark: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided for TCP, UDP and ICMP errors; other protocols never match."""
        if packet.protocol not in (TCP, UDP, ICMP, ICMPV6):
            return NEVER
        kind = "transparent socket" if self.transparent else "socket"
        bound = "" if self.wildcard else ", bound to that address,"
        to = endpoint_text(packet.dst, packet.dport)
        return undecided(
            "socket", f"a {kind}{bound} of this host takes {protocol_name(packet.protocol)} to {to}"
        )

    def seen(self, packet: Packet) -> str:
        """The packet's protocol."""
        return f"it is {protocol_name(packet.protocol)}"

    def asked(self, packet: Packet, held: bool) -> Packet:
        """The packet with the socket's mark, which is not known."""
        return packet.replace(mark_unknown=0xFFFFFFFF) if held and self.restores_mark else packet


def read(options: Options) -> Socket:
    """The flags."""
    return Socket(options.has("--transparent"), options.has("--nowildcard"), options.has("--restore-skmark"))
