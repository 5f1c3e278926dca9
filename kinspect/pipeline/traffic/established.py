"""The entry of connection tracking for an established connection, if its table was recorded."""

from __future__ import annotations

from kinspect.model.flows import Tracked
from kinspect.model.packet import Packet, Translation, protocol_name, read_address
from kinspect.parse.node.conntrack import read_connections
from kinspect.snapshot import types as names
from kinspect.snapshot.types import Files


def translation(packet: Packet, files: Files) -> Translation | None:
    """How the packet's connection rewrites it; None: the table was not recorded, or does not have it.

    If several zones have such a connection, and they differ, it is not known which one it is.
    """
    src, dst = str(packet.src), str(packet.dst)

    def asked_for(protocol: str, to: str, port: int | None, back: str, back_port: int | None) -> bool:
        return to == dst or back == src

    found: set[Translation] = set()
    for file in (names.CONNTRACK, names.CONNTRACK6):
        if file in files:
            table = read_connections([files[file]], file, asked_for)
            found.update(made for entry in table.entries if (made := _of(entry, packet)) is not None)
    return found.pop() if len(found) == 1 else None


def _of(entry: Tracked, packet: Packet) -> Translation | None:
    """The translation of the packet by an entry: one direction is the reverse of the other's tuple."""
    if entry.protocol != protocol_name(packet.protocol):
        return None
    own = (str(packet.src), packet.sport, str(packet.dst), packet.dport)
    original = (entry.src, entry.sport, entry.dst, entry.dport)
    reply = (entry.reply_src, entry.reply_sport, entry.reply_dst, entry.reply_dport)
    if own == original:
        src, sport, dst, dport = entry.reply_dst, entry.reply_dport, entry.reply_src, entry.reply_sport
    elif own == reply:
        src, sport, dst, dport = entry.dst, entry.dport, entry.src, entry.sport
    else:
        return None
    return Translation(
        src=read_address(src),
        sport=sport,
        dst=read_address(dst),
        dport=dport,
        reply=own == reply and own != original,
        dnat=(entry.dst, entry.dport) != (entry.reply_src, entry.reply_sport),
        snat=(entry.src, entry.sport) != (entry.reply_dst, entry.reply_dport),
        mark=entry.mark,
        zone=entry.zone,
    )
