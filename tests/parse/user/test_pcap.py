"""A packet of a capture: link types, numbering as in Wireshark, and files that are not what they should be."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.errors import PacketError
from kinspect.model.packet import Packet, TcpFlag
from kinspect.parse.user.ip_headers import packet_from_ip
from kinspect.parse.user.packet_text import packet_from_expression, scapy_packet
from kinspect.parse.user.pcap import packet_from_capture

SYN = packet_from_expression('IP(src="192.168.0.1",dst="192.168.0.11")/TCP(dport=31000)')
UDP6 = packet_from_expression('IPv6(dst="fd00::1")/UDP(dport=53)/"four"')
IPV4, IPV6 = bytes(scapy_packet(SYN)), bytes(scapy_packet(UDP6)) + b"four"
MAC = "02:00:00:00:00:01"
ETHER = bytes.fromhex("020000000002 020000000001")
ARP = ETHER + bytes.fromhex("0806") + bytes(28)


def pcap(link_type: int, *packets: bytes, order: str = "<", magic: int = 0xA1B2C3D4) -> bytes:
    head = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link_type)
    return head + b"".join(
        struct.pack(order + "IIII", 0, number, len(data), len(data)) + data
        for number, data in enumerate(packets)
    )


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def pcapng(*packets: tuple[int, bytes], order: str = "<") -> bytes:
    """Each packet came in by an interface of its own, with its own link type."""
    section = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    links = b"".join(block(1, struct.pack(order + "HHI", link, 0, 0), order) for link, _ in packets)
    return (
        section
        + links
        + b"".join(
            block(6, struct.pack(order + "IIIII", at, 0, 0, len(data), len(data)) + data, order)
            for at, (_, data) in enumerate(packets)
        )
    )


@pytest.fixture
def capture(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "client.pcap"
        path.write_bytes(data)
        return path

    return write


SLL = bytes.fromhex("0000 0001 0006 020000000001 0000")
SLL2 = bytes.fromhex("0000 00000002 0001 00 06 020000000001 0000")
LINKS = {
    "Ethernet": (1, ETHER + b"\x08\x00" + IPV4, SYN.replace(mac_src=MAC)),
    "Ethernet, padded to its least length": (
        1,
        ETHER + b"\x08\x00" + IPV4 + bytes(6),
        SYN.replace(mac_src=MAC),
    ),
    "Ethernet, IPv6": (1, ETHER + b"\x86\xdd" + IPV6, UDP6.replace(mac_src=MAC)),
    "a VLAN": (1, ETHER + bytes.fromhex("81000005 0800") + IPV4, SYN.replace(mac_src=MAC)),
    "a VLAN in a VLAN": (
        1,
        ETHER + bytes.fromhex("88a80005 81000006 86dd") + IPV6,
        UDP6.replace(mac_src=MAC),
    ),
    "Linux cooked": (113, SLL + b"\x08\x00" + IPV4, SYN.replace(mac_src=MAC)),
    "Linux cooked, no Ethernet": (113, b"\0\0\x03\x04" + bytes(10) + b"\x86\xdd" + IPV6, UDP6),
    "Linux cooked, second version": (276, b"\x08\x00" + SLL2 + IPV4, SYN.replace(mac_src=MAC)),
    "Linux cooked with a VLAN": (113, SLL + bytes.fromhex("81000005 0800") + IPV4, SYN.replace(mac_src=MAC)),
    "raw IP": (101, IPV4, SYN),
    "raw IP, IPv6": (101, IPV6, UDP6),
    "raw IP by OpenBSD's number": (14, IPV4, SYN),
    "raw IPv4": (228, IPV4, SYN),
    "raw IPv6": (229, IPV6, UDP6),
    "loopback of BSD": (0, b"\2\0\0\0" + IPV4, SYN),
    "loopback of OpenBSD, IPv6": (108, b"\0\0\0\x18" + IPV6, UDP6),
}


@pytest.mark.parametrize(("link", "data", "expected"), LINKS.values(), ids=LINKS)
def test_reads_a_link_type(
    capture: Callable[[bytes], Path], link: int, data: bytes, expected: Packet
) -> None:
    assert packet_from_capture(capture(pcap(link, data)), 1) == expected


FORMATS = {
    "pcap": pcap(101, IPV4, IPV6),
    "pcap of a machine of the other byte order": pcap(101, IPV4, IPV6, order=">"),
    "pcap in nanoseconds": pcap(101, IPV4, IPV6, magic=0xA1B23C4D),
    "pcapng": pcapng((228, IPV4), (101, IPV6)),
    "pcapng of the other byte order": pcapng((228, IPV4), (101, IPV6), order=">"),
    "gzipped": gzip.compress(pcap(101, IPV4, IPV6)),
}


@pytest.mark.parametrize("data", FORMATS.values(), ids=FORMATS)
def test_numbers_packets_from_1(capture: Callable[[bytes], Path], data: bytes) -> None:
    path = capture(data)
    assert packet_from_capture(path, 1) == SYN
    assert packet_from_capture(path, 2) == UDP6


def test_without_a_number_the_first_ip_packet_is_read(capture: Callable[[bytes], Path]) -> None:
    path = capture(pcap(1, ARP, ARP, ETHER + b"\x08\x00" + IPV4))
    assert packet_from_capture(path) == SYN.replace(mac_src=MAC)


def test_what_comes_after_the_packet_is_not_read(capture: Callable[[bytes], Path]) -> None:
    assert packet_from_capture(capture(pcap(101, IPV4, IPV6)[:-1]), 1) == SYN


WHOLE, WHOLE_NG = pcap(101, IPV4, IPV6), pcapng((101, IPV4), (101, IPV6))
WRONG = {
    "number zero": (WHOLE, 0, "there is no packet 0 (packets are numbered from 1)"),
    "fewer packets": (WHOLE, 3, "there is no packet 3 (it has 2)"),
    "no packets": (WHOLE[:24], 1, "there is no packet 1 (it has none)"),
    "no packets at all": (WHOLE[:24], None, "it has no packets"),
    "none is IP": (pcap(1, ARP, ARP), None, "none of its 2 packets is IP"),
    "not IP": (pcap(1, ARP), 1, "packet 1 cannot be read: it is not IP"),
    "IP by its type only": (
        pcap(1, ETHER + b"\x08\x00" + bytes(40)), 1, "packet 1 cannot be read: it is not an IP packet",
    ),
    "a link type that is not known": (
        pcap(147, IPV4), 1, "packet 1 cannot be read: its link type, 147, is not known",
    ),
    "empty": (b"", 1, "not a capture (pcap or pcapng, as of tcpdump -w)"),
    "text": (b"*nat\n-A X\n", 1, "not a capture (pcap or pcapng, as of tcpdump -w)"),
    "a header cut short": (WHOLE[:20], 1, "not a capture (pcap or pcapng, as of tcpdump -w)"),
    "cut in the packet": (WHOLE[:-1], 2, "packet 2 cannot be read: the file is cut short in it"),
    "pcapng cut in the packet": (
        WHOLE_NG[:-8], 2, "it is cut short or damaged after packet 1",
    ),
    "gzip cut short": (gzip.compress(WHOLE)[:-9], 3, "it is cut short or damaged after packet 2"),
    "gzip of something else": (gzip.compress(b"text"), 1, "not a capture (pcap or pcapng, as of tcpdump -w)"),
    "gzip damaged": (b"\x1f\x8b" + bytes(20), 1, "Unknown compression method"),
    "a snapshot length too small for IP": (
        pcap(101, IPV4[:19]), 1, "packet 1 cannot be read: its IPv4 header is cut short",
    ),
    "a snapshot length too small for IPv6": (
        pcap(101, IPV6[:39]), 1, "packet 1 cannot be read: its IPv6 header is cut short",
    ),
    "a snapshot length too small for TCP": (
        pcap(101, IPV4[:30]), 1, "packet 1 cannot be read: its tcp header is cut short",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("data", "index", "message"), WRONG.values(), ids=WRONG)
def test_refuses(capture: Callable[[bytes], Path], data: bytes, index: int | None, message: str) -> None:
    path = capture(data)
    with pytest.raises(PacketError) as caught:
        packet_from_capture(path, index)
    assert str(caught.value) == f"{path}: {message}"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(PacketError, match=r"/none\.pcap: No such file or directory$"):
        packet_from_capture(tmp_path / "none.pcap")
    with pytest.raises(PacketError, match=r": Is a directory$"):
        packet_from_capture(tmp_path)


@given(st.data())
def test_any_file_is_a_packet_or_a_packet_error(
    tmp_path_factory: pytest.TempPathFactory, drawn: st.DataObject
) -> None:
    files = [WHOLE, WHOLE_NG, FORMATS["gzipped"], pcap(1, ETHER + b"\x81\x00" + IPV4)]
    damaged = bytearray(drawn.draw(st.sampled_from(files)))
    for _ in range(drawn.draw(st.integers(0, 5))):
        damaged[drawn.draw(st.integers(0, len(damaged) - 1))] = drawn.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged.pcap"
    path.write_bytes(damaged[: drawn.draw(st.integers(0, len(damaged)))])
    answer = packet_or_error(path, drawn.draw(st.none() | st.integers(1, 3)))
    assert isinstance(answer, Packet) or "\n" not in answer


def packet_or_error(path: Path, index: int | None) -> Packet | str:
    try:
        return packet_from_capture(path, index)
    except PacketError as wrong:
        return str(wrong)


SRC6, DST6 = IPv6Address("2001:db8::1"), IPv6Address("fd00::1")


def ipv6(following: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack("!IHBB", 6 << 28 | 4 << 20, size, following, 9) + SRC6.packed + DST6.packed + payload


TCP_HEADER = bytes.fromhex("9c40 0050") + bytes(8) + b"\x50\xd2" + bytes(6)  # SYN, ACK, ECE, CWR
BASE6 = Packet(src=SRC6, dst=DST6, protocol=6, ttl=9, tos=4)
SYN_ACK6 = BASE6.replace(sport=40000, dport=80, tcp_flags=TcpFlag.SYN | TcpFlag.ACK)
HEADERS = {
    "TCP": (ipv6(6, TCP_HEADER), SYN_ACK6.replace(length=60)),
    "after options for each hop": (ipv6(0, b"\6\0" + bytes(6) + TCP_HEADER), SYN_ACK6.replace(length=68)),
    "after two extension headers": (
        ipv6(43, b"\x3c\1" + bytes(14) + b"\6\0" + bytes(6) + TCP_HEADER),
        SYN_ACK6.replace(length=84),
    ),
    "after an authentication header": (
        ipv6(51, b"\6\4" + bytes(22) + TCP_HEADER),
        SYN_ACK6.replace(length=84),
    ),
    "a first fragment": (
        ipv6(44, b"\6\0\0\1" + bytes(4) + TCP_HEADER),
        SYN_ACK6.replace(length=68, more_fragments=True),
    ),
    "a later fragment": (
        ipv6(44, b"\6\0\0\x09" + bytes(4) + b"data"),
        BASE6.replace(length=52, fragment=True, more_fragments=True),
    ),
    "no next header, padded": (ipv6(59, b"", 0) + bytes(6), BASE6.replace(protocol=59, length=40)),
    "for the network card to cut": (ipv6(6, TCP_HEADER + bytes(40), 0), SYN_ACK6.replace(length=100)),
}


@pytest.mark.parametrize(("data", "expected"), HEADERS.values(), ids=HEADERS)
def test_ipv6_headers(data: bytes, expected: Packet) -> None:
    assert packet_from_ip(data) == expected


def test_ipv4_for_the_network_card_to_cut_has_the_length_it_was_seen_with() -> None:
    packet = packet_from_ip(IPV4[:2] + bytes(2) + IPV4[4:], wire=9000)
    assert (packet.length, packet.dst) == (9000, IPv4Address("192.168.0.11"))


def test_an_extension_header_cut_short_is_an_error() -> None:
    with pytest.raises(PacketError, match=r"^an IPv6 extension header is cut short$"):
        packet_from_ip(ipv6(0, b"\6\0"))
