"""``--pcap FILE --index N``: one packet of a capture, pcap or pcapng, plain or gzipped.

Packets are numbered from 1, as Wireshark numbers frames, and none is read after the wanted one.
Link types: https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from kinspect.errors import PacketError
from kinspect.model.packet import Packet
from kinspect.parse.user.ip_headers import packet_from_ip
from kinspect.parse.user.scapy_layers import scapy_module, silence

_IP: Final = frozenset({0x0800, 0x86DD})
_VLAN: Final = frozenset({0x8100, 0x88A8, 0x9100})
_ETHERNET_ADDRESS: Final = 1  # ARPHRD_ETHER
_GZIP: Final = b"\x1f\x8b"
_READ_AT_MOST: Final = 65535  # bytes of a packet; Scapy leaves off the rest


class _Frame(NamedTuple):
    link_type: int
    data: bytes
    wire: int  # bytes it had on the wire
    whole: bool  # False: the file ends inside it


class _Inside(NamedTuple):
    """Where IP begins in a frame, and who sent the frame."""

    start: int
    mac_src: str | None = None


def packet_from_capture(path: Path, index: int | None = None) -> Packet:
    """The packet of that number, or the first one that is IP.

    Raises PacketError, which names the file: it cannot be read, is not a capture, has not as many packets,
    or the packet is not IP or is cut short.
    """
    if index is not None and index < 1:
        raise PacketError(f"{path}: there is no packet {index}", hint="packets are numbered from 1")
    seen = 0
    with closing(_frames(path)) as frames:
        for seen, frame in enumerate(frames, 1):
            if seen == index or (index is None and _inside(frame) is not None):
                try:
                    return _packet(frame)
                except PacketError as wrong:
                    raise PacketError(f"{path}: packet {seen} cannot be read: {wrong.message}") from wrong
    if index is None:
        raise PacketError(f"{path}: {f'none of its {seen} packets is IP' if seen else 'it has no packets'}")
    raise PacketError(f"{path}: there is no packet {index}", hint=f"it has {seen or 'none'}")


def _frames(path: Path) -> Generator[_Frame, None, None]:
    """The frames of a file, read as they are asked for."""
    utils, broken = scapy_module("scapy.utils"), scapy_module("scapy.error").Scapy_Exception
    seen: int | None = None  # None: it is not yet known to be a capture
    try:
        with path.open("rb") as file, silence() as said:
            stream = gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == _GZIP else file
            reader = utils.RawPcapReader(stream)
            seen = 0
            for data, meta in reader:
                seen += 1
                link_type = getattr(meta, "linktype", None)  # pcapng: each interface has its own
                recorded = min(getattr(meta, "caplen", len(data)), _READ_AT_MOST)
                whole = len(data) >= recorded
                yield _Frame(reader.linktype if link_type is None else link_type, data, meta.wirelen, whole)
                said.clear()  # of a packet that was skipped
            stream.read(1)  # a cut gzip file is an error here, but Scapy would treat the cut as the end
            if said:
                raise broken(said[0])
    except OSError as wrong:
        raise PacketError(f"{path}: {wrong.strerror or wrong}") from wrong
    except (broken, EOFError, zlib.error) as wrong:
        if seen is None:
            raise PacketError(f"{path}: not a capture", hint="pcap or pcapng, as of tcpdump -w") from wrong
        where = f"after packet {seen}" if seen else "before its first packet"
        raise PacketError(f"{path}: it is cut short or damaged {where}") from wrong


def _packet(frame: _Frame) -> Packet:
    if not frame.whole:
        raise PacketError("the file is cut short in it")
    inside = _inside(frame)
    if inside is None:
        known = frame.link_type in _READERS
        raise PacketError("it is not IP" if known else f"its link type, {frame.link_type}, is not known")
    return packet_from_ip(frame.data[inside.start :], wire=frame.wire - inside.start, mac_src=inside.mac_src)


def _inside(frame: _Frame) -> _Inside | None:
    reader = _READERS.get(frame.link_type)
    return None if reader is None else reader(frame.data)


def _after_type(data: bytes, at: int, start: int, mac_src: str | None) -> _Inside | None:
    """IP after the EtherType at ``at``, and after the VLAN tags that begin at ``start``."""
    kind = int.from_bytes(data[at : at + 2], "big")
    while kind in _VLAN:
        kind, start = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
    return _Inside(start, mac_src) if kind in _IP else None


def _ethernet(data: bytes) -> _Inside | None:
    return _after_type(data, 12, 14, data[6:12].hex(":"))


def _cooked(data: bytes) -> _Inside | None:
    return _after_type(data, 14, 16, _sender(data, data[2:4], data[4:6], 6))


def _cooked2(data: bytes) -> _Inside | None:
    return _after_type(data, 0, 20, _sender(data, data[8:10], data[11:12], 12))


def _sender(data: bytes, kind: bytes, length: bytes, at: int) -> str | None:
    ethernet = int.from_bytes(kind, "big") == _ETHERNET_ADDRESS and int.from_bytes(length, "big") == 6
    return data[at : at + 6].hex(":") if ethernet else None


def _raw(data: bytes) -> _Inside | None:
    return _Inside(0) if data[:1] and data[0] >> 4 in (4, 6) else None


def _loopback(data: bytes) -> _Inside | None:
    # The word before it is a family whose numbers and byte order differ by system: IP says what it is.
    return _Inside(4) if _raw(data[4:]) else None


_READERS: Final[dict[int, Callable[[bytes], _Inside | None]]] = {
    0: _loopback,  # NULL, of BSD
    1: _ethernet,
    12: _raw,
    14: _raw,  # OpenBSD's number for it
    101: _raw,
    108: _loopback,  # LOOP, of OpenBSD
    113: _cooked,  # LINUX_SLL, of tcpdump -i any
    228: _raw,  # IPV4
    229: _raw,  # IPV6
    276: _cooked2,  # LINUX_SLL2
}
