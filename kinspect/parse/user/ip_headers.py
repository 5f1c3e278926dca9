"""The bytes of one IP packet, read as netfilter reads them.

Sources: RFC 791, 8200, 9293; which extension headers are skipped: ``ipv6_find_hdr`` in the kernel's
net/ipv6/exthdrs_core.c. Checksums are ignored: a capture on the sending host does not have them yet.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kinspect.errors import PacketError
from kinspect.model.packet import ICMP, ICMPV6, TCP, WITH_PORTS, Packet, TcpFlag, protocol_name

_IPV4_HEADER, _IPV6_HEADER = 20, 40
_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTH, _NO_NEXT, _DESTINATION = 0, 43, 44, 51, 59, 60
_PASSED_OVER: Final = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _AUTH, _DESTINATION})
_FLAGS: Final = 0x3F  # the six of TcpFlag; iptables cannot match the others


def packet_from_ip(data: bytes, *, wire: int | None = None, mac_src: str | None = None) -> Packet:
    """The packet whose IP header begins ``data``; ``wire`` is its length if the data is a part of it.

    Raises PacketError: not IP, or cut short before the last header that is needed.
    """
    version = data[0] >> 4 if data else None
    if version == 4:
        packet = _ipv4(data, wire or len(data))
    elif version == 6:
        packet = _ipv6(data, wire or len(data))
    else:
        raise PacketError("it is not an IP packet")
    return packet.replace(mac_src=mac_src) if mac_src else packet


def _ipv4(data: bytes, wire: int) -> Packet:
    if len(data) < _IPV4_HEADER:
        raise PacketError("its IPv4 header is cut short")
    header = (data[0] & 0x0F) * 4
    length = _number(data, 2, 2) or wire  # 0: the network card will cut it into packets and fill it in
    if not _IPV4_HEADER <= header <= length:
        raise PacketError(f"its IPv4 header says that it has {header} bytes of a packet of {length}")
    base = Packet(
        src=IPv4Address(data[12:16]),
        dst=IPv4Address(data[16:20]),
        protocol=data[9],
        length=length,
        ttl=data[8],
        tos=data[1],
        fragment=_number(data, 6, 2) & 0x1FFF != 0,
        more_fragments=_number(data, 6, 2) & 0x2000 != 0,
    )
    return base if base.fragment else _with_transport(base, data[header:length])


def _ipv6(data: bytes, wire: int) -> Packet:
    if len(data) < _IPV6_HEADER:
        raise PacketError("its IPv6 header is cut short")
    payload, following = _number(data, 4, 2), data[6]
    # No payload length is that of a jumbogram, or of what the network card will cut into packets.
    length = _IPV6_HEADER + payload if payload or following == _NO_NEXT else wire
    rest, fragment, more = data[_IPV6_HEADER:length], False, False
    while following in _PASSED_OVER and not fragment:
        if len(rest) < 8:
            raise PacketError("an IPv6 extension header is cut short")
        size = {_FRAGMENT: 8, _AUTH: (rest[1] + 2) * 4}.get(following, (rest[1] + 1) * 8)
        if following == _FRAGMENT:
            fragment, more = _number(rest, 2, 2) >> 3 != 0, _number(rest, 2, 2) & 1 != 0
        following, rest = rest[0], rest[size:]
    base = Packet(
        src=IPv6Address(data[8:24]),
        dst=IPv6Address(data[24:40]),
        protocol=following,
        length=length,
        ttl=data[7],
        tos=_number(data, 0, 2) >> 4 & 0xFF,
        fragment=fragment,
        more_fragments=more,
    )
    return base if fragment else _with_transport(base, rest)


def _with_transport(base: Packet, data: bytes) -> Packet:
    """The packet with the fields of its transport header."""
    protocol = base.protocol
    needed = 14 if protocol == TCP else 4 if protocol in WITH_PORTS else 2
    if protocol not in WITH_PORTS | {ICMP, ICMPV6}:
        return base
    if len(data) < needed:
        raise PacketError(f"its {protocol_name(protocol)} header is cut short")
    if protocol in WITH_PORTS:
        flags = TcpFlag(data[13] & _FLAGS) if protocol == TCP else None
        return base.replace(sport=_number(data, 0, 2), dport=_number(data, 2, 2), tcp_flags=flags)
    return base.replace(icmp_type=data[0], icmp_code=data[1])


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")
