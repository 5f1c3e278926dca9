"""A case: rules, sets and switches of a node, and packets; as data that a file can hold."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from kinspect.model.host import Host
from kinspect.model.packet import ICMP, TCP, UDP, Family, Packet
from kinspect.netfilter.tracking import first_state
from kinspect.parse.user.ip_headers import packet_from_ip

HERE = "here"  # made by the node itself
SWITCHES: Mapping[str, str] = {
    "net.ipv4.ip_forward": "1",
    "net.ipv6.conf.all.forwarding": "1",
    "net.ipv4.conf.all.route_localnet": "0",
    "net.ipv4.conf.eth0.route_localnet": "0",
}


@dataclass(frozen=True)
class Probe:
    """A packet to send, and where it comes in."""

    where: str
    src: str
    dst: str
    protocol: int = TCP
    sport: int = 40000
    dport: int = 80
    flags: int = 2  # SYN
    type: int = 0
    code: int = 0
    times: int = 1
    ttl: int = 64
    tos: int = 0
    fragment: str = ""  # first or later: a part of a datagram whose other parts never come

    @property
    def family(self) -> Family:
        return 4 if ip_address(self.dst).version == 4 else 6

    def wire(self, number: int) -> bytes:
        """The packet, whose last four bytes are its number."""
        src, dst = ip_address(self.src).packed, ip_address(self.dst).packed
        mark = struct.pack(">I", number)
        size = len(self._transport(0) + mark)
        pseudo = src + dst + struct.pack(">II" if self.family == 6 else ">HH", size, self.protocol)
        if self.family == 4:
            pseudo = src + dst + struct.pack(">BBH", 0, self.protocol, size)
        summed = b"" if self.protocol == ICMP else pseudo
        body = self._transport(_checksum(summed + self._transport(0) + mark)) + mark
        offset = 16 if self.fragment == "later" else 0  # in units of eight bytes
        if self.fragment:
            body += b"\0" * ((4 - len(body)) % 8) + mark
            size = len(body)
        if self.family == 6:
            following = self.protocol
            if self.fragment:
                body = struct.pack(">BBHI", self.protocol, 0, offset << 3 | 1, number + 1) + body
                following, size = 44, size + 8
            start = 6 << 28 | self.tos << 20
            return struct.pack(">IHBB", start, size, following, self.ttl) + src + dst + body
        flags = 0x2000 | offset if self.fragment else 0

        def header(checksum: int) -> bytes:
            first = struct.pack(">BBHHH", 0x45, self.tos, 20 + size, number + 1, flags)
            return first + struct.pack(">BBH", self.ttl, self.protocol, checksum) + src + dst

        return header(_checksum(header(0))) + body

    def _transport(self, checksum: int) -> bytes:
        match self.protocol:
            case 6:
                return struct.pack(
                    ">HHIIBBHHH", self.sport, self.dport, 1, 0, 0x50, self.flags, 1024, checksum, 0
                )
            case 17:
                return struct.pack(">HHHH", self.sport, self.dport, 12, checksum)
            case 1 | 58:
                return struct.pack(">BBHHH", self.type, self.code, checksum, 77, 1)
            case _:
                return b"\0" * 4

    def packet(self) -> Packet:
        """The packet as kinspect sees it where it begins."""
        local = self.where == HERE
        made = packet_from_ip(self.wire(0), mac_src=None if local else "02:00:00:00:00:01")
        packet = made.replace(local=local, iif=None if local else self.where)
        return packet.replace(state=first_state(packet, Host()))


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


@dataclass(frozen=True)
class Case:
    """One rule set on one back end, perhaps another on the other one, and the packets that go through."""

    backend: str
    family: Family
    rules: tuple[str, ...]
    probes: tuple[Probe, ...]
    sets: tuple[str, ...] = ()
    switches: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    other: tuple[str, ...] = ()  # rules of the other back end
    setup: tuple[str, ...] = ()  # of ip rule add and ip route add; what it refuses is left out

    def text(self) -> str:
        """As a file of ``cases`` has it."""
        return json.dumps({key: value for key, value in asdict(self).items() if value}, indent=1) + "\n"

    @classmethod
    def read(cls, path: Path) -> Case:
        """From a file of ``cases``."""
        found: dict[str, Any] = json.loads(path.read_text())
        found["probes"] = tuple(Probe(**probe) for probe in found["probes"])
        for name in ("rules", "sets", "other", "setup"):
            found[name] = tuple(found.get(name, ()))
        return cls(**found)


__all__ = ["HERE", "SWITCHES", "UDP", "Case", "Probe"]
