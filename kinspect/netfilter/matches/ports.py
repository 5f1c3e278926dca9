"""``-m tcp``, ``udp``, ``sctp``, ``dccp``: ports, TCP flags (kernel: xt_tcpudp.c, xt_sctp.c, xt_dccp.c)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, undecided, unless
from kinspect.model.packet import DCCP, SCTP, TCP, UDP, Packet, TcpFlag
from kinspect.model.questions import Input
from kinspect.model.rules import Distinctions
from kinspect.netfilter.options import Option, OptionError, Options, ValueKind, port_range
from kinspect.netfilter.printed import NOT, printed

_PORTS: Final = {"--sport": 1, "--dport": 1, "--source-port": "--sport", "--destination-port": "--dport"}
PROTOCOLS_tcp: Final = frozenset({TCP})
PROTOCOLS_udp: Final = frozenset({UDP})
PROTOCOLS_sctp: Final = frozenset({SCTP})
OPTIONS_tcp: Final = {**_PORTS, "--tcp-flags": 2, "--syn": 0, "--tcp-option": 1}
OPTIONS_udp: Final = _PORTS
OPTIONS_sctp: Final = {**_PORTS, "--chunk-types": 2}
OPTIONS_dccp: Final = {**_PORTS, "--dccp-types": 1, "--dccp-option": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys((*OPTIONS_tcp, *OPTIONS_sctp, *OPTIONS_dccp), "plain")


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports are in the ranges, and the TCP flags are as the rule wants them.

    The kernel drops a packet that is too short for its header. A later fragment has none, and does
    not match, even if inverted.
    """

    protocol: int
    sport: tuple[int, int] | None = None
    sport_inverted: bool = False
    dport: tuple[int, int] | None = None
    dport_inverted: bool = False
    flags: tuple[TcpFlag, TcpFlag] | None = None  # the flags to look at, and those of them that must be set
    flags_inverted: bool = False
    unread: str | None = None  # an option about something that a packet here does not have

    def distinguishes(self) -> Distinctions:
        """Destination ports."""
        return Distinctions(ports=(self.dport,) if self.dport else ())

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if a port is not known."""
        if packet.protocol != self.protocol or packet.fragment:
            return NEVER
        open_question: Odds | None = None
        if self._as_one(packet):
            return undecided(
                "back-end-difference",
                "the rule is from iptables-nft, which compares the two ports as one number",
            )
        for which, found, wanted, inverted in (
            ("source", packet.sport, self.sport, self.sport_inverted),
            ("destination", packet.dport, self.dport, self.dport_inverted),
        ):
            if wanted is None:
                continue
            if found is None:
                asked = undecided(
                    "packet-field", f"the {which} port is in {wanted[0]}:{wanted[1]}", Input("packet")
                )
                open_question = unless(inverted, asked)
            elif (wanted[0] <= found <= wanted[1]) == inverted:
                return NEVER
        if self.flags is not None:
            mask, wanted_flags = self.flags
            if packet.tcp_flags is None:
                asked = undecided(
                    "packet-field",
                    f"of the TCP flags {mask!r} exactly {wanted_flags!r} are set",
                    Input("packet"),
                )
                open_question = unless(self.flags_inverted, asked)
            elif (packet.tcp_flags & mask == wanted_flags) == self.flags_inverted:
                return NEVER
        if self.unread is not None:
            return undecided("packet-field", f"the packet matches {self.unread}", Input("packet"))
        return open_question or ALWAYS

    def _as_one(self, packet: Packet) -> bool:
        """Whether the back ends differ: iptables-nft turns ``! --sport 1 ! --dport 2`` into one comparison.

        There it matches unless both ports are the named ones (add_nft_tcpudp in nft-shared.c; measured
        with 1.8.9). Both back ends print the same text.
        """
        if self.protocol not in (TCP, UDP) or not (self.sport_inverted and self.dport_inverted):
            return False
        if self.sport is None or self.dport is None:
            return False
        single = self.sport[0] == self.sport[1] and self.dport[0] == self.dport[1]
        return single and (packet.sport == self.sport[0]) != (packet.dport == self.dport[0])

    def seen(self, packet: Packet) -> str:
        """Its ports."""
        if packet.protocol != self.protocol:
            return "it is of another protocol"
        return f"its ports are {packet.sport} to {packet.dport}"


def _flags(text: str) -> TcpFlag:
    if text == "NONE":
        return TcpFlag(0)
    if text == "ALL":
        return reduce(or_, TcpFlag)
    try:
        return reduce(or_, (TcpFlag[name] for name in text.split(",")))
    except KeyError:
        raise ValueError(text) from None


def _tcp_flags(option: Option) -> tuple[TcpFlag, TcpFlag]:
    if len(option.values) != 2:
        raise OptionError(f"expected two lists of flags after {option.name}", option.word)
    try:
        return _flags(option.values[0]), _flags(option.values[1])
    except ValueError:
        raise option.error("lists of SYN,ACK,FIN,RST,URG,PSH,ALL,NONE") from None


def _read(protocol: int, options: Options) -> Ports:
    sport, dport = options.get("--sport"), options.get("--dport")
    flags, syn = options.get("--tcp-flags"), options.get("--syn")
    other = options.get("--tcp-option", "--chunk-types", "--dccp-types", "--dccp-option")
    asked = None
    if flags:
        asked = _tcp_flags(flags)
    elif syn:
        # --syn is --tcp-flags SYN,RST,ACK,FIN SYN (iptables-extensions).
        asked = (TcpFlag.SYN | TcpFlag.RST | TcpFlag.ACK | TcpFlag.FIN, TcpFlag.SYN)
    return Ports(
        protocol,
        sport.read(port_range, "a port or range") if sport else None,
        bool(sport and sport.inverted),
        dport.read(port_range, "a port or range") if dport else None,
        bool(dport and dport.inverted),
        asked,
        bool((flags and flags.inverted) or (syn and syn.inverted)),
        f"{'! ' if other.inverted else ''}{other.name} {' '.join(other.values)}" if other else None,
    )


def read_tcp(options: Options) -> Ports:
    """``-m tcp``."""
    return _read(TCP, options)


def read_udp(options: Options) -> Ports:
    """``-m udp``."""
    return _read(UDP, options)


def read_sctp(options: Options) -> Ports:
    """``-m sctp``."""
    return _read(SCTP, options)


def read_dccp(options: Options) -> Ports:
    """``-m dccp``."""
    return _read(DCCP, options)


_FLAGS_BY_BIT: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")


def _flags_by_name(found: re.Match[str]) -> str:
    """``0x17/0x02`` as the names of the flags looked at, and of those set."""
    lists = []
    for part in found[2].split("/"):
        bits = int(part, 16)
        lists.append(",".join(name for bit, name in enumerate(_FLAGS_BY_BIT) if bits >> bit & 1) or "NONE")
    return f"{'! ' if found['not'] else ''}--tcp-flags {' '.join(lists)}"


PRINTED: Final = (
    printed(r"(tcp|udp|sctp|dccp)(?= |$)(?! (?:flags:))"),
    printed(rf"dpts?:{NOT}(\S+)", r"--dport \2"),
    printed(rf"spts?:{NOT}(\S+)", r"--sport \2"),
    printed(rf"(?:tcp )?flags:{NOT}(0x[0-9A-Fa-f]+/0x[0-9A-Fa-f]+)", _flags_by_name),
)
