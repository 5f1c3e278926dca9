"""``ipset save`` or ``ipset list`` text to sets: indexed at once, each set's members read when asked for.

Source: ipset(8); lib/parse.c of ipset. Other parts of a header or a member (comments, counters,
time-outs, marks for packets) do not decide whether it matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, ip_address, ip_network, summarize_address_range
from typing import Final

from kinspect.errors import RulesError
from kinspect.model.host import AddressSet, Network
from kinspect.model.packet import ICMP, ICMPV6, PROTOCOLS, Address, Family
from kinspect.netfilter.matches.icmp import TYPES as ICMP_TYPES
from kinspect.netfilter.matches.icmp import TYPES_6 as ICMP_TYPES_6
from kinspect.netfilter.matches.mac import hardware_address
from kinspect.netfilter.options import integer, port_range
from kinspect.netfilter.sets import ADDRESSES, TYPES, Face, IpSet, Members, network_number
from kinspect.parse.rules.words import BadQuote, split

_CREATE: Final = frozenset({"create", "-N", "--create", "n"})
_ADD: Final = frozenset({"add", "-A", "--add"})
_FLUSH: Final = frozenset({"flush", "-F", "--flush"})
_BLANK: Final = frozenset({"COMMIT", "-exist", "-!"})
_FAMILIES: Final[dict[str, Family]] = {"inet": 4, "inet6": 6, "-4": 4, "-6": 6}


@dataclass(slots=True)
class _Found:
    """A set as indexed: its header and the lines of its members."""

    type: str
    options: Sequence[str]
    line: int = 0
    members: list[tuple[int, str]] = field(default_factory=list)  # line, text behind the set's name
    listed: bool = True  # False: ``ipset list -terse`` leaves the members out


def read_ipset(data: bytes | str, *, source: str) -> Mapping[str, AddressSet]:
    """All sets of a dump by name. Raises RulesError if a line is not ipset's.

    A member that cannot be read is an error, with its line, when its set is first used.
    """
    text = data.decode("utf-8", "surrogateescape") if isinstance(data, bytes) else data
    lines = text.splitlines()
    listing = any(line.startswith("Name:") for line in lines[:20])
    found = _listed(lines, source) if listing else _saved(lines, source)
    return {name: _set(name, item, source) for name, item in found.items()}


def _saved(lines: Sequence[str], source: str) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    for number, line in enumerate(lines, 1):
        words = line.split(maxsplit=2)
        while words and words[0] in ("-exist", "-!") and len(words) > 1:
            words = " ".join(words[1:]).split(maxsplit=2)
        if not words or words[0].startswith("#") or words[0] in _BLANK:
            continue
        command, name = words[0], words[1] if len(words) > 1 else ""
        rest = words[2] if len(words) > 2 else ""
        if command in _CREATE and rest:
            kind, *options = rest.split()
            found[name] = _Found(kind, options, number)
        elif command in _ADD and rest:
            if name not in found:
                raise RulesError(
                    f"there is no set {name} before this line", source=source, line=number, text=line
                )
            found[name].members.append((number, rest))
        elif command in _FLUSH:
            for item in [found[name]] if name in found else found.values() if not name else ():
                item.members.clear()
        else:
            raise RulesError(
                "expected create NAME TYPE or add NAME MEMBER",
                source=source,
                line=number,
                text=line,
                column=len(line) - len(line.lstrip()),
                width=len(command),
                hint="this is not what ipset save prints",
            )
    return found


def _listed(lines: Iterable[str], source: str) -> dict[str, _Found]:
    found: dict[str, _Found] = {}
    item, name, inside = _Found("", ()), "", False
    for number, line in enumerate(lines, 1):
        key, colon, value = line.partition(":")
        if key == "Name" and colon:
            name, inside, item = value.strip(), False, _Found("", (), number, listed=False)
            found[name] = item
        elif not line.strip():
            inside = False
        elif inside:
            item.members.append((number, line.strip()))
        elif key == "Type":
            item.type = value.strip()
        elif key == "Header":
            item.options = value.split()
        elif line.startswith("Members:"):
            inside = item.listed = True
        elif not name:
            raise RulesError("expected Name: and the name of a set", source=source, line=number, text=line)
    return found


def _set(name: str, item: _Found, source: str) -> IpSet:
    options = _options(item.options)
    family: Family | None = None
    if item.type.startswith("hash:") and item.type != "hash:mac":
        family = _FAMILIES.get(options.get("family", "inet"), 4)
    elif item.type.startswith("bitmap:ip"):
        family = 4
    try:
        net_mask = _net_mask(options.get("netmask"), family)
        mark_mask = integer(options.get("markmask", "0xffffffff"))
    except ValueError:
        raise RulesError(
            f"expected netmask and markmask of the set {name} to be masks",
            source=source,
            line=item.line,
            text=" ".join([item.type, *item.options]),
        ) from None
    return IpSet(
        name,
        item.type,
        family,
        _loader(name, item, net_mask, mark_mask, source),
        counted="counters" in item.options,
        mark_mask=mark_mask,
    )


def _options(words: Sequence[str]) -> dict[str, str]:
    return {words[i]: words[i + 1] for i in range(len(words) - 1)}


def _net_mask(text: str | None, family: Family | None) -> int:
    bits = 128 if family == 6 else 32
    if text is None:
        return bits
    return integer(text, 0, bits) if text.isdigit() else IPv4Network(f"0.0.0.0/{text}").prefixlen


def _loader(
    name: str, item: _Found, net_mask: int, mark_mask: int, source: str
) -> Callable[[], Members | None]:
    def load() -> Members | None:
        if not item.listed or "bitmask" in item.options:
            return None
        reader = _Reader(item.type, TYPES[item.type], net_mask, mark_mask)
        for line, text in item.members:
            try:
                reader.read(text)
            except (ValueError, BadQuote):
                raise RulesError(
                    f"expected a member of {name}, which is a {item.type}",
                    source=source,
                    line=line,
                    text=text,
                    column=0,
                    width=len(text.split()[0]),
                ) from None
        item.members.clear()
        return reader.members

    return load


@dataclass(slots=True)
class _Reader:
    """Reads members of one type."""

    type: str
    dims: tuple[str, ...]
    net_mask: int
    mark_mask: int
    members: Members = field(default_factory=Members)

    def read(self, text: str) -> None:
        """One member with its options. Raises ValueError."""
        element, _, rest = text.partition(" ")
        # A comment may hold any word; without one there are no quotes.
        words = [word.text for word in split(rest)] if '"' in rest else rest.split()
        if "comment" in words:
            at = words.index("comment")
            del words[at : at + 2]
        if self.type == "list:set":
            self.members.names.append(element)
            return
        parts = element.split(",")
        if self.type == "bitmap:ip,mac" and len(parts) == 1:
            parts.append("")
        if len(parts) != len(self.dims):
            raise ValueError(text)
        if self.type == "hash:net,iface":
            self._face(parts, words)
            return
        values = [self._values(dim, part) for dim, part in zip(self.dims, parts, strict=True)]
        self._add([], [], values, "nomatch" in words)

    def _face(self, parts: Sequence[str], words: Sequence[str]) -> None:
        networks = _networks(parts[0])
        if parts[1].startswith("physdev:"):
            return  # a bridge's port: -m set never matches one, and other members are in its place
        face = Face(parts[1], "wildcard" in words, "nomatch" in words)
        for network in networks:
            number = network_number(network.network_address, network.prefixlen)
            self.members.add_face(network.prefixlen, number, face)

    def _add(
        self,
        shape: list[int],
        key: list[object],
        values: Sequence[Sequence[tuple[int | None, object]]],
        nomatch: bool,
    ) -> None:
        """All members of a range."""
        if not values:
            self.members.add(tuple(shape), tuple(key), nomatch)
            return
        for prefix, value in values[0]:
            self._add([*shape, prefix] if prefix is not None else shape, [*key, value], values[1:], nomatch)

    def _values(self, dim: str, text: str) -> Sequence[tuple[int | None, object]]:
        """The values of one part: values, those of addresses with their prefix length."""
        if dim in ADDRESSES:
            networks = _networks(text)
            limit = self.net_mask if dim == "ip" else 128
            lengths = [min(network.prefixlen, limit) for network in networks]
            return [
                (length, network_number(network.network_address, length))
                for length, network in zip(lengths, networks, strict=True)
            ]
        match dim:
            case "port":
                return [(None, value) for value in _ports(text)]
            case "number":
                low, high = port_range(text, "-")
                return [(None, port) for port in range(low, high + 1)]
            case "mac":
                return [(None, hardware_address(text) if text else None)]
            case _:
                return [(None, integer(text) & self.mark_mask)]


def _networks(text: str) -> Sequence[Network]:
    low, dash, high = text.partition("-")
    if not dash:
        return [ip_network(text, strict=False)]
    first, last = ip_address(low), ip_address(high)
    return _between(first, last)


def _between(first: Address, last: Address) -> list[Network]:
    if first.version != last.version:
        raise ValueError(f"{first}-{last}")
    return list(summarize_address_range(first, last))


def _ports(text: str) -> list[tuple[int, int]]:
    """``80``, ``tcp:80``, ``udp:53-60``, ``icmp:8/0``, ``icmp:echo-request``, ``esp:0``: protocol, port."""
    name, colon, rest = text.partition(":")
    if not colon:
        name, rest = "tcp", text
    protocol = PROTOCOLS[name] if name in PROTOCOLS else integer(name, 0, 255)
    if protocol in (ICMP, ICMPV6):
        return [(protocol, _icmp(rest, ICMP_TYPES if protocol == ICMP else ICMP_TYPES_6))]
    low, high = port_range(rest, "-")
    return [(protocol, port) for port in range(low, high + 1)]


def _icmp(text: str, names: Mapping[str, tuple[int, int | None]]) -> int:
    if text in names:
        kind, code = names[text]
        return kind << 8 | (code or 0)
    kind_text, _, code_text = text.partition("/")
    return integer(kind_text, 0, 255) << 8 | integer(code_text or "0", 0, 255)
