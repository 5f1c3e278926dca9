"""ipsets as the kernel looks them up, by the packet's fields (kernel: net/netfilter/ipset).

A member is a tuple of the fields that the set's type names, such as ``ip,port``. Networks are grouped by
prefix length, the longest first, as in ip_set_hash_gen.h: a look-up takes one step per prefix length,
however many members there are. The most specific network decides, ``nomatch`` or not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, Address, Family, Packet

# The set types, by the fields of their members.
TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    **{
        f"hash:{dims}": tuple(dims.split(","))
        for dims in (
            "ip", "net", "ip,port", "ip,port,ip", "ip,port,net", "net,port", "net,net", "net,port,net",
            "net,iface", "mac", "ip,mac", "ip,mark",
        )
    },
    "bitmap:ip": ("ip",),
    "bitmap:ip,mac": ("ip", "mac"),
    "bitmap:port": ("number",),  # a port of either TCP or UDP
    "list:set": ("set",),
}  # fmt: skip

ADDRESSES: Final = frozenset({"ip", "net"})
_NOMATCH_TYPES: Final = frozenset({"net", "iface"})

Key = tuple[object, ...]
Shape = tuple[int, ...]


class _NoField(Exception):
    """The packet does not have the field."""


@dataclass(slots=True)
class Members:
    """The members of a set, for look-up; the parser fills it.

    ``nets`` maps a prefix length to its members, and each to whether it is ``nomatch``; ``faces`` maps
    the networks of ``hash:net,iface`` to their interfaces.
    """

    nets: dict[Shape, dict[Key, bool]] = field(default_factory=dict)
    faces: dict[Shape, dict[Key, list[Face]]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)  # of list:set

    def add(self, shape: Shape, key: Key, nomatch: bool) -> None:
        """One member."""
        self.nets.setdefault(shape, {})[key] = nomatch

    def add_face(self, prefix: int, network: int, face: Face) -> None:
        """One member of ``hash:net,iface``."""
        self.faces.setdefault((prefix,), {}).setdefault((network,), []).append(face)


@dataclass(frozen=True, slots=True)
class Face:
    """An interface of ``hash:net,iface``: its name, or a prefix of names."""

    name: str
    wildcard: bool = False
    nomatch: bool = False


@dataclass(slots=True)
class IpSet:
    """A set of one dump; its members are read when first asked for.

    ``family`` None means both. ``load`` returns None if the dump does not list the members.
    """

    name: str
    type: str
    family: Family | None
    load: Callable[[], Members | None]
    counted: bool = False
    mark_mask: int = 0xFFFFFFFF
    lookups: int = 0  # number of look-ups, for tests that count work
    _members: Members | None = None
    _loaded: bool = False

    def members(self) -> Members | None:
        """The members, read once."""
        if not self._loaded:
            self._members = self.load()
            self._loaded = True
        return self._members

    def member_sets(self) -> Sequence[str]:
        """The sets of a ``list:set``."""
        members = self.members() if self.type == "list:set" else None
        return members.names if members else ()

    def holds(
        self, packet: Packet, directions: Sequence[str], host: Host, *, return_nomatch: bool = False
    ) -> bool | None:
        """Whether the packet is in the set; None if a field or the set is not known.

        ``directions`` say for each dimension whether the source's or the destination's field is looked up.
        A set of the other family, or with more dimensions than directions, never matches.
        """
        dims = TYPES.get(self.type)
        if dims is None:
            return None
        if len(directions) < len(dims) or self.family not in (None, packet.family):
            return False
        members = self.members()
        if members is None:
            return None
        if self.type == "list:set":
            return self._in_list(members, packet, directions, host, return_nomatch)
        if not members.nets and not members.faces:
            return False
        try:
            values = [
                _value(dim, way, packet, self, host) for dim, way in zip(dims, directions, strict=False)
            ]
        except _NoField:
            return False
        if self.type == "bitmap:ip,mac" and self._find(members, [values[0], None]) is not None:
            return True  # listed without a hardware address: any matches
        if None in values:
            return None
        by_face = self.type == "hash:net,iface"
        found = self._by_face(members, values) if by_face else self._find(members, values)
        if found is None:
            return False
        reversed_ = return_nomatch and not _NOMATCH_TYPES.isdisjoint(dims)
        return found if reversed_ else not found

    def _in_list(
        self, members: Members, packet: Packet, directions: Sequence[str], host: Host, return_nomatch: bool
    ) -> bool | None:
        """A list matches if one of its sets does; each gets all directions."""
        found: bool | None = False
        for name in members.names:
            member = host.sets.get(name) if host.sets is not None else None
            if member is None or member.type == "list:set":
                found = None
                continue
            held = member.holds(packet, directions, host, return_nomatch=return_nomatch)
            if held:
                return True
            if held is None:
                found = None
        return found

    def _find(self, members: Members, values: Sequence[object]) -> bool | None:
        """Whether the most specific member with these values is ``nomatch``; None: there is none."""
        for shape in sorted(members.nets, reverse=True):
            self.lookups += 1
            found = members.nets[shape].get(_key(shape, values))
            if found is not None:
                return found
        return None

    def _by_face(self, members: Members, values: Sequence[object]) -> bool | None:
        """The most specific network decides alone, whichever interfaces it has."""
        address, interface = values
        for shape in sorted(members.faces, reverse=True):
            self.lookups += 1
            faces = members.faces[shape].get(_key(shape, [address]))
            if faces is None:
                continue
            for face in faces:
                name = str(interface)
                if name.startswith(face.name) if face.wildcard else name == face.name:
                    return face.nomatch
            return None
        return None


def _key(shape: Shape, values: Sequence[object]) -> Key:
    lengths = iter(shape)
    return tuple(
        network_number(value, next(lengths)) if isinstance(value, IPv4Address | IPv6Address) else value
        for value in values
    )


def network_number(address: Address, prefix: int) -> int:
    """The bits of an address that a prefix keeps."""
    return int(address) >> (address.max_prefixlen - prefix)


def _value(dim: str, way: str, packet: Packet, of: IpSet, host: Host) -> object:
    """The packet's field for a dimension; None if it is not known. Raises _NoField."""
    source = way == "src"
    match dim:
        case "ip" | "net":
            return packet.src if source else packet.dst
        case "port":
            return _port(packet, source)
        case "number":
            if packet.protocol not in (TCP, UDP):
                raise _NoField
            port = _port(packet, source)
            return None if port is None else port[1]
        case "mac":
            if packet.local or packet.iif == "lo":
                raise _NoField
            return packet.mac_src if source else None
        case "mark":
            return None if packet.mark_unknown & of.mark_mask else packet.mark & of.mark_mask
        case _:  # iface
            unrouted = packet.oif == "" or (packet.oif is None and host.family_routes(packet.dst) is not None)
            if packet.local if source else unrouted:
                raise _NoField
            return packet.iif if source else packet.oif


def _port(packet: Packet, source: bool) -> tuple[int, int] | None:
    """Protocol and port; for ICMP, type and code; for other protocols, 0 (kernel: ip_set_getport.c)."""
    protocol = packet.protocol
    if protocol in (TCP, UDP, SCTP, UDPLITE):
        if packet.fragment:
            raise _NoField
        port = packet.sport if source else packet.dport
        return None if port is None else (protocol, port)
    if protocol in (ICMP, ICMPV6):
        if packet.fragment:
            raise _NoField
        if packet.icmp_type is None or packet.icmp_code is None:
            return None
        return protocol, packet.icmp_type << 8 | packet.icmp_code
    return protocol, 0
