"""Connection tracking tables: ``conntrack -L`` with any ``-o``, and ``/proc/net/nf_conntrack``.

An entry is one line (libnetfilter_conntrack, src/conntrack/snprintf_default.c; the kernel,
net/netfilter/nf_conntrack_standalone.c)::

    [ipv4 2] tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… [packets=… bytes=…] [[UNREPLIED]]
        src=… dst=… sport=… dport=… [packets=… bytes=…] [[ASSURED]] [[OFFLOAD]] mark=0 zone=… use=1 …

The first four are of the packets that opened the connection, the second four of those that come
back. A busy node has a million of these, so they are streamed, and unwanted ones are skipped before
they cost memory. A damaged line is counted and reported, and never ends the reading.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_address
from typing import Final, TypeAlias, TypeVar

from kinspect.model.flows import Table, Tracked

T = TypeVar("T")

Keep: TypeAlias = Callable[[str, str, "int | None", str, "int | None"], bool]
"""Whether an entry is wanted: protocol, destination and port, and those that replies come from."""

_CHUNK: Final = 1 << 20  # bytes that are decoded at once
_REMEMBERED: Final = 1 << 16  # texts that are kept to be shared; a table has more clients than services

_HEAD: Final = re.compile(r"(?:ipv[46] +\d+ )?([a-z0-9-]+) +\d+ (?:([0-9]{1,10}) )?(?:([A-Z][A-Z_0-9]+) )?")
_TIMES: Final = re.compile(r"\[(?:start|stop)=[^\]]*\]")  # of -o ktimestamp: with blanks inside
_FIELD: Final = re.compile(r"([a-z][a-z_-]*)=(\S*)")
_FLAG: Final = re.compile(r"\[[A-Z_]+\]")
_DOTTED: Final = re.compile(
    r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
)
_NUMBER: Final = re.compile(r"[0-9]{1,20}")
_DIGITS: Final = 10  # of a timeout in seconds
# The tool's other messages, if both of its streams are in one file.
_SUMMARY: Final = re.compile(r"conntrack v\S+ \(conntrack-tools\): .*|\s*")
# One object for each of the words that are in almost every line.
_FAMILIES: Final = frozenset({"ipv4", "ipv6"})
_PROTOCOLS: Final = {name: name for name in ("tcp", "udp", "sctp", "dccp", "udplite")}
_STATES: Final = {
    name: name
    for name in ("ESTABLISHED", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "FIN_WAIT", "LAST_ACK", "SYN_SENT",
                 "SYN_RECV", "SYN_SENT2")
}  # fmt: skip
_ZONES: Final = ("zone=", "zone-orig=", "zone-reply=")
_CUT: Final = re.compile(r"# cut after \d+ entries")


def cut_mark(entries: int) -> str:
    """The last line of a table that was cut."""
    return f"# cut after {entries} entries"


def read_connections(chunks: Iterable[bytes], source: str, keep: Keep | None = None) -> Table:
    """A table from its text, or that of both families. ``source`` names the file for messages.

    Never raises: what is not an entry is counted in ``Table.damaged``.
    """
    reader = _Reader(source, keep)
    entries = tuple(reader.entries(chunks))
    return Table(
        entries=entries,
        total=reader.total,
        cut=reader.cut,
        damaged=reader.damaged,
        first_damage=reader.first_damage,
    )


class _Damaged(Exception):
    """A line is not an entry; the text says why."""


class _Unusual(Exception):
    """A line is not in the usual form; it may still be an entry."""


class _Words(dict[str, T]):
    """The values of words such as ``dst=10.0.0.1``, computed when one is first met.

    Services' addresses and all ports are few, so that almost all words were met before; and each
    value is one object, however many entries share it.
    """

    def __init__(self, prefix: str, read: Callable[[str], T]) -> None:
        super().__init__()
        self._prefix, self._read = prefix, read

    def __missing__(self, word: str) -> T:
        if not word.startswith(self._prefix):
            raise _Unusual
        if len(self) >= _REMEMBERED:
            self.clear()
        value = self[word] = self._read(word[len(self._prefix) :])
        return value


class _Reader:
    """Reads one table; what it counts is there once it has been read to the end."""

    def __init__(self, source: str, keep: Keep | None) -> None:
        self.source, self.keep = source, keep
        self.total = self.damaged = 0
        self.cut = False
        self.first_damage: str | None = None
        self._dst, self._from = _Words("dst=", _address), _Words("src=", _address)
        # Clients are many and kept apart: they must not push out values that repeat.
        self._src, self._to = _Words("src=", _address), _Words("dst=", _address)
        self._sport, self._dport = _Words("sport=", _port), _Words("dport=", _port)

    def entries(self, chunks: Iterable[bytes]) -> Iterator[Tracked]:
        """The wanted entries."""
        usual, unusual = self._usual, self._unusual
        for number, line in enumerate(_lines(chunks), 1):
            try:
                try:
                    entry = usual(line)
                except (_Unusual, LookupError):
                    entry = unusual(line)
            except _Damaged as damage:
                self.damaged += 1
                if self.first_damage is None:
                    self.first_damage = f"{self.source}:{number}: {damage}"
                continue
            if entry is not None:
                yield entry

    def _usual(self, line: str) -> Tracked | None:
        """An entry of a protocol with ports. Raises _Unusual or LookupError if it is not one.

        Written for speed: a table may have a million of them.
        """
        words = line.split()
        at = 2 if words[0] in _FAMILIES else 0
        protocol, timeout = _PROTOCOLS[words[at]], words[at + 2]
        if not timeout.isdigit() or len(timeout) > _DIGITS:
            raise _Unusual
        at += 3
        if words[at][:4] == "src=":
            state = None
        else:
            state = _STATES[words[at]]
            at += 1
        # Checked first: most entries of a busy node are not wanted.
        dst, dport = self._dst[words[at + 1]], self._dport[words[at + 3]]
        back = at + 4
        counted = words[back].startswith("packets=")
        if counted:
            back += 2
        replied = words[back] != "[UNREPLIED]"
        if not replied:
            back += 1
        reply_src, reply_sport = self._from[words[back]], self._sport[words[back + 2]]
        if self.keep is not None and not self.keep(protocol, dst, dport, reply_src, reply_sport):
            self.total += 1
            return None
        src = self._src[words[at]]
        reply_dst = self._to[words[back + 1]]
        sport, reply_dport = self._sport[words[at + 2]], self._dport[words[back + 3]]
        packets = octets = None
        if counted:
            packets = _counted(words, "packets=", at + 4, back + 4)
            octets = _counted(words, "bytes=", at + 5, back + 5)
        rest = words[back + 4 :]
        mark = zone = 0
        if "mark=0" not in rest or len(rest) > 3:
            mark, zone = _value(rest, ("mark=",)), _value(rest, _ZONES)
        self.total += 1
        return Tracked(
            protocol,
            state,
            int(timeout),
            src,
            dst,
            sport,
            dport,
            reply_src,
            src if reply_dst == src else reply_dst,
            reply_sport,
            reply_dport,
            replied,
            "[ASSURED]" in rest,
            False,
            mark,
            zone,
            packets,
            octets,
        )

    def _unusual(self, line: str) -> Tracked | None:
        """A protocol without ports, or a form that is not expected. Raises _Damaged."""
        if _SUMMARY.fullmatch(line):
            return None
        if line.startswith("#"):
            self.cut = self.cut or _CUT.fullmatch(line) is not None
            return None
        head = _HEAD.match(line)
        if head is None:
            raise _Damaged("this is not an entry of connection tracking")
        fields: dict[str, list[str]] = {}
        flags: set[str] = set()
        for word in _TIMES.sub(" ", line[head.end() :]).split():
            found = _FIELD.fullmatch(word)
            if found is not None:
                fields.setdefault(found[1], []).append(found[2])
            elif _FLAG.fullmatch(word):
                flags.add(word)
            else:
                raise _Damaged(f"{word[:40]!r} is not a field")
        if any(len(fields.get(name, ())) != 2 for name in ("src", "dst")):
            raise _Damaged("it does not have the addresses of both directions")
        self.total += 1
        src, reply_src = map(_address, fields["src"])
        dst, reply_dst = map(_address, fields["dst"])
        sport, reply_sport = self._both(fields, "sport")
        dport, reply_dport = self._both(fields, "dport")
        if self.keep is not None and not self.keep(head[1], dst, dport, reply_src, reply_sport):
            return None
        return Tracked(
            protocol=head[1],
            state=head[3],
            timeout=_number(head[2]) if head[2] is not None else None,
            src=src,
            dst=dst,
            sport=sport,
            dport=dport,
            reply_src=reply_src,
            reply_dst=reply_dst,
            reply_sport=reply_sport,
            reply_dport=reply_dport,
            replied="[UNREPLIED]" not in flags,
            assured="[ASSURED]" in flags,
            offloaded=bool(flags & {"[OFFLOAD]", "[HW_OFFLOAD]"}),
            mark=self._first(fields, "mark") or 0,
            zone=max(self._first(fields, name) or 0 for name in ("zone", "zone-orig", "zone-reply")),
            packets=self._sum(fields, "packets"),
            bytes=self._sum(fields, "bytes"),
        )

    def _both(self, fields: dict[str, list[str]], name: str) -> tuple[int | None, int | None]:
        values = fields.get(name, [])
        if not values:
            return None, None
        if len(values) != 2:
            raise _Damaged(f"it has {name} in one direction only")
        return _port(values[0]), _port(values[1])

    def _first(self, fields: dict[str, list[str]], name: str) -> int | None:
        return _number(fields[name][0]) if name in fields else None

    def _sum(self, fields: dict[str, list[str]], name: str) -> int | None:
        return sum(map(_number, fields[name])) if name in fields else None


def _counted(words: list[str], name: str, *places: int) -> int:
    """The sum of a counter of both directions. Raises _Unusual if it is missing."""
    found = [words[place] for place in places if place < len(words) and words[place].startswith(name)]
    if len(found) != len(places):
        raise _Unusual
    return sum(_number(word[len(name) :]) for word in found)


def _value(words: list[str], names: tuple[str, ...]) -> int:
    """The greatest number that one of the fields has; 0 without them."""
    return max((_number(word.partition("=")[2]) for word in words if word.startswith(names)), default=0)


def _address(text: str) -> str:
    """An address in its shortest form. Raises _Damaged."""
    try:
        # Several times as fast as ipaddress, for the many addresses of clients.
        return text if _DOTTED.fullmatch(text) else str(ip_address(text))
    except ValueError:
        raise _Damaged(f"{text[:60]!r} is not an address") from None


def _port(text: str) -> int:
    number = _number(text)
    if number > 65535:
        raise _Damaged(f"{text[:20]!r} is not a port")
    return number


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise _Damaged(f"{text[:40]!r} is not a number")
    return int(text)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """The lines of a text that comes in pieces. Bytes that are not text stay as escapes."""
    rest = b""
    for chunk in chunks:
        for start in range(0, len(chunk), _CHUNK):
            piece = rest + chunk[start : start + _CHUNK]
            whole, _, rest = piece.rpartition(b"\n")
            if whole:
                yield from whole.decode("ascii", "backslashreplace").split("\n")
    if rest:
        yield rest.decode("ascii", "backslashreplace")
