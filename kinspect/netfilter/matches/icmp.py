"""``-m icmp``, ``-m icmp6``: type and code of a control message (kernel: xt_tcpudp.c, ip6_tables.c)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import NEVER, Odds, certain, undecided, unless
from kinspect.model.packet import ICMP, ICMPV6, Packet
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import Option, Options, ValueKind, integer
from kinspect.netfilter.printed import NOT, printed

OPTIONS_icmp: Final = {"--icmp-type": 1}
OPTIONS_icmp6: Final = {"--icmpv6-type": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys((*OPTIONS_icmp, *OPTIONS_icmp6), "plain")

ANY: Final = 0xFF  # -m icmp: every type

# As listed by ``iptables -p icmp -h`` and ``ip6tables -p icmpv6 -h``: type, code (None: all codes).
Names = dict[str, tuple[int, int | None]]
TYPES: Final[Names] = {
    "any": (ANY, None),
    "echo-reply": (0, None), "pong": (0, None),
    "destination-unreachable": (3, None), "network-unreachable": (3, 0), "host-unreachable": (3, 1),
    "protocol-unreachable": (3, 2), "port-unreachable": (3, 3), "fragmentation-needed": (3, 4),
    "source-route-failed": (3, 5), "network-unknown": (3, 6), "host-unknown": (3, 7),
    "network-prohibited": (3, 9), "host-prohibited": (3, 10), "tos-network-unreachable": (3, 11),
    "tos-host-unreachable": (3, 12), "communication-prohibited": (3, 13),
    "host-precedence-violation": (3, 14), "precedence-cutoff": (3, 15),
    "source-quench": (4, None),
    "redirect": (5, None), "network-redirect": (5, 0), "host-redirect": (5, 1),
    "tos-network-redirect": (5, 2), "tos-host-redirect": (5, 3),
    "echo-request": (8, None), "ping": (8, None),
    "router-advertisement": (9, None), "router-solicitation": (10, None),
    "time-exceeded": (11, None), "ttl-exceeded": (11, None), "ttl-zero-during-transit": (11, 0),
    "ttl-zero-during-reassembly": (11, 1),
    "parameter-problem": (12, None), "ip-header-bad": (12, 0), "required-option-missing": (12, 1),
    "timestamp-request": (13, None), "timestamp-reply": (14, None),
    "address-mask-request": (17, None), "address-mask-reply": (18, None),
}  # fmt: skip
TYPES_6: Final[Names] = {
    "destination-unreachable": (1, None), "no-route": (1, 0), "communication-prohibited": (1, 1),
    "beyond-scope": (1, 2), "address-unreachable": (1, 3), "port-unreachable": (1, 4),
    "failed-policy": (1, 5), "reject-route": (1, 6),
    "packet-too-big": (2, None),
    "time-exceeded": (3, None), "ttl-exceeded": (3, None), "ttl-zero-during-transit": (3, 0),
    "ttl-zero-during-reassembly": (3, 1),
    "parameter-problem": (4, None), "bad-header": (4, 0), "unknown-header-type": (4, 1),
    "unknown-option": (4, 2),
    "echo-request": (128, None), "ping": (128, None), "echo-reply": (129, None), "pong": (129, None),
    "mld-listener-query": (130, None), "mld-listener-report": (131, None),
    "mld-listener-done": (132, None), "mld-listener-reduction": (132, None),
    "router-solicitation": (133, None), "router-advertisement": (134, None),
    "neighbour-solicitation": (135, None), "neighbor-solicitation": (135, None),
    "neighbour-advertisement": (136, None), "neighbor-advertisement": (136, None),
    "redirect": (137, None),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Icmp:
    """A control message of the type and, if one is given, the code.

    A later fragment has no such header and does not match, even if inverted.
    """

    protocol: int
    type: int
    code: int | None = None
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the packet's type or code is not known."""
        if packet.protocol != self.protocol or packet.fragment:
            return NEVER
        if self.protocol == ICMP and self.type == ANY:
            return certain(not self.inverted)
        found: bool | None = None if packet.icmp_type is None else packet.icmp_type == self.type
        if found is not False and self.code is not None:
            code = packet.icmp_code
            found = False if code not in (None, self.code) else None if code is None else found
        if found is None:
            return unless(
                self.inverted, undecided("packet-field", f"the ICMP type is {self._text()}", Input("packet"))
            )
        return certain(found != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The packet's type and code."""
        if packet.protocol != self.protocol:
            return "it is of another protocol"
        return f"its ICMP type and code are {packet.icmp_type} and {packet.icmp_code}"

    def _text(self) -> str:
        return str(self.type) if self.code is None else f"{self.type}/{self.code}"


def _read(option: Option, number: int, names: Names) -> Icmp:
    def numbers(text: str) -> tuple[int, int | None]:
        named = text.lower()
        if named in names:
            return names[named]
        begun = {value for name, value in names.items() if name.startswith(named)} if named else set()
        if len(begun) == 1:  # iptables accepts a prefix of a name
            return begun.pop()
        kind, slash, code = text.partition("/")
        return integer(kind, 0, 255), integer(code, 0, 255) if slash else None

    kind, code = option.read(numbers, "an ICMP type, as TYPE, TYPE/CODE or a name,")
    return Icmp(number, kind, code, option.inverted)


def read_icmp(options: Options) -> Icmp:
    """``--icmp-type``."""
    return _read(options.need("--icmp-type"), ICMP, TYPES)


def read_icmp6(options: Options) -> Icmp:
    """``--icmpv6-type``."""
    return _read(options.need("--icmpv6-type"), ICMPV6, TYPES_6)


def _type(found: re.Match[str]) -> str:
    code = f"/{found[3]}" if found[3] else ""
    return f"{'! ' if found['not'] else ''}--icmp-type {found[2]}{code}"


PRINTED: Final = (
    printed(rf"(?:icmp ?|ipv6-icmp)type {NOT}(\d+)(?: code (\d+))?", _type),
    printed(r"icmp (?P<not>!)?([a-z][a-z-]+)", r"--icmp-type \2"),
)
