"""The kernel's choice among several addresses of a nat rule (nf_nat_core.c, find_best_ips_proto).

It is a hash of the connection's addresses without a seed, so it can be computed. This holds for
kernels since 3.7 and little-endian machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from kinspect.model.packet import Address

_BITS: Final = 0xFFFFFFFF


def chosen_address(
    low: Address,
    high: Address,
    src: Address,
    dst: Address,
    *,
    persistent: bool = False,
    rewrites: Literal["src", "dst"] = "dst",
    zone: int = 0,
) -> Address:
    """The address from ``low`` to ``high`` for a connection from ``src`` to ``dst``.

    ``persistent``: the source alone decides, so a client keeps its address. ``rewrites`` is the side
    that the address is for. The kernel chooses word by word, and mixes in each word of the destination
    after it has chosen that word: if the destination is rewritten, that is already the new word.
    ``zone`` is the connection tracking zone.
    """
    if low == high:
        return low
    source, destination = _words(src), _words(dst)
    # IPv4 addresses are hashed in a field of the size of IPv6.
    padded = [*source, 0, 0, 0][:4]
    chosen = jhash2(padded, 0 if persistent else destination[-1] ^ zone)
    found: list[int] = []
    full_range = False
    for part, (least, most) in enumerate(zip(_numbers(low), _numbers(high), strict=True)):
        start, count = (0, _BITS) if full_range else (least, (most - least + 1) & _BITS)
        found.append((start + (chosen * count >> 32)) & _BITS)
        full_range = full_range or found[-1] != most
        if not persistent:
            chosen ^= destination[part] if rewrites == "src" else _swapped(found[-1])
    packed = b"".join(number.to_bytes(4, "big") for number in found)
    return IPv4Address(packed) if low.version == 4 else IPv6Address(packed)


def _words(address: Address) -> list[int]:
    """The address as a little-endian machine reads its words."""
    return [int.from_bytes(address.packed[i : i + 4], "little") for i in range(0, len(address.packed), 4)]


def _swapped(number: int) -> int:
    return int.from_bytes(number.to_bytes(4, "big"), "little")


def _numbers(address: Address) -> list[int]:
    return [int.from_bytes(address.packed[i : i + 4], "big") for i in range(0, len(address.packed), 4)]


def jhash2(words: Sequence[int], start: int) -> int:
    """Bob Jenkins' hash of 32-bit words (include/linux/jhash.h)."""
    a = b = c = (0xDEADBEEF + (len(words) << 2) + start) & _BITS
    rest = list(words)
    while len(rest) > 3:
        a, b, c = (a + rest[0]) & _BITS, (b + rest[1]) & _BITS, (c + rest[2]) & _BITS
        a, b, c = _mixed(a, b, c)
        rest = rest[3:]
    if not rest:
        return c
    padded = [*rest, 0, 0][:3]
    return _final((a + padded[0]) & _BITS, (b + padded[1]) & _BITS, (c + padded[2]) & _BITS)


def _turned(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & _BITS


def _mixed(a: int, b: int, c: int) -> tuple[int, int, int]:
    for bits in (4, 6, 8, 16, 19, 4):
        a = ((a - c) & _BITS) ^ _turned(c, bits)
        c = (c + b) & _BITS
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for bits in (14, 11, 25, 16, 4, 14, 24):
        c = ((c ^ b) - _turned(b, bits)) & _BITS
        a, b, c = b, c, a
    return b  # what was c before the last turn
