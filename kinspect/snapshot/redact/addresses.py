"""Replaces a cluster's addresses by a keyed, prefix-preserving permutation.

Two addresses that share their first n bits share them afterwards, and no more: so every network
contains what it contained, and routes and rules choose as before. The scheme is Crypto-PAn's (Xu,
Fan, Ammar, Moon, "Prefix-Preserving IP Address Anonymization", ICNP 2002) with keyed BLAKE2 for
its cipher: each bit is flipped or not by what a keyed hash says of the bits before it.

The bits that lead to a network with a meaning of its own are never flipped: so private addresses
stay private, and none else becomes one. Inside the networks of ``_AS_IS`` nothing is changed.
"""

from __future__ import annotations

import hashlib
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA's special-purpose registries (RFC 6890). Nothing in these tells of a cluster; 240.0.0.0/4
# holds netmasks and the broadcast address. The two of documentation are kinspect's own clients.
_AS_IS: Final = tuple(map(ip_network, (
    "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "203.0.113.1/32",
    "::/127", "ff00::/15", "ff02::/112", "ff05::/16", "2001:db8::1/128",
)))  # fmt: skip
# What is in these stays in these.
_KEPT: Final = tuple(map(ip_network, (
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
    "fc00::/7", "fd00::/8", "fe80::/64", "ff00::/8", "ff02::1:ff00:0/104", "64:ff9b::/96",
    "2000::/3", "2001:db8::/32",
)))  # fmt: skip
_MAPPED: Final = ip_network("::ffff:0:0/96")


def _bits(network: Network) -> tuple[int, str]:
    size = network.max_prefixlen
    return network.version, format(int(network.network_address), f"0{size}b")[: network.prefixlen]


_LEADING: Final = frozenset(
    (version, bits[:length])
    for version, bits in map(_bits, (*_AS_IS, *_KEPT, _MAPPED))
    for length in range(len(bits))
)
_STILL: Final = frozenset(_bits(network) for network in _AS_IS)


class Permutation:
    """The permutation of a key; without the key it cannot be reversed."""

    def __init__(self, key: bytes) -> None:
        self._key = key[:64]
        self._known: dict[Address, Address] = {}
        self._flips = cache(self._flip)

    def address(self, address: Address) -> Address:
        """The address in place of another."""
        found = self._known.get(address)
        if found is None:
            found = self._known[address] = self._mapped(address)
        return found

    def network(self, network: Network) -> Network:
        """The network that holds what the other one held."""
        low = self.address(network.network_address)
        return ip_network(f"{low}/{network.prefixlen}", strict=False)

    def _mapped(self, address: Address) -> Address:
        size = address.max_prefixlen
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            inner = int(self.address(address.ipv4_mapped))
            return IPv6Address(int(address) >> 32 << 32 | inner)
        bits = format(int(address), f"0{size}b")
        made, still = [], False
        for length in range(size):
            before = address.version, bits[:length]
            still = still or before in _STILL
            flip = not still and before not in _LEADING and self._flips(*before)
            made.append(bits[length] if not flip else "10"[int(bits[length])])
        return type(address)(int("".join(made), 2))

    def _flip(self, version: int, before: str) -> bool:
        told = hashlib.blake2b(f"{version} {before}".encode(), key=self._key, digest_size=1).digest()
        return bool(told[0] & 1)

    def bytes_for(self, text: str, count: int) -> bytes:
        """Bytes in place of a text that has no prefixes to keep."""
        return hashlib.blake2b(text.encode(), key=self._key, digest_size=count).digest()
