"""``--write-pcap``: packets with comments, for Wireshark.

pcapng, as only it has comments; link type "raw IP", because a trace has packets from the IP header on.
Packets are a microsecond apart, starting at the epoch: only their order has a meaning, and the same
answer gives the same file, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from kinspect.errors import CallError
from kinspect.model.packet import Packet
from kinspect.parse.user.packet_text import scapy_packet
from kinspect.parse.user.scapy_layers import scapy_module, silence

_RAW_IP: Final = 101  # https://www.tcpdump.org/linktypes.html
_LONGEST_COMMENT: Final = 65000  # bytes; an option's length has sixteen bits


def write_pcap(path: Path, packets: Iterable[tuple[Packet, str]]) -> None:
    """Write the packets, each with its comment; readers see the old file or the whole new one.

    Raises CallError: the file cannot be written.
    """
    try:
        # Writing through a link writes the file that it points to.
        special = path.exists() and not path.is_file()
        target = path if special else path.resolve()
        if special:  # a pipe, or /dev/stdout: there is nothing to replace
            _write(target, packets)
            return
        part = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            _write(part, packets)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as wrong:
        raise CallError(f"cannot write {path}: {wrong.strerror or wrong}") from wrong


def _write(path: Path, packets: Iterable[tuple[Packet, str]]) -> None:
    module = scapy_module("scapy.utils")
    with silence(), module.PcapNgWriter(str(path)) as writer:
        writer.linktype = _RAW_IP  # Scapy would take it from the first packet, and has other numbers for it
        writer.write_header(None)
        for number, (packet, comment) in enumerate(packets):
            writer.write_packet(_commented(packet, comment), sec=Fraction(number, 1_000_000))


def _commented(packet: Packet, comment: str) -> Any:
    built = scapy_packet(packet)
    text = comment.replace("\0", "").encode(errors="replace")[:_LONGEST_COMMENT]
    built.comment = text.decode(errors="ignore").encode()  # not half a character at the end
    return built
