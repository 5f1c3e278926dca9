"""``-m conntrack``, ``-m state``: what conntrack knows about the packet (kernel: xt_conntrack.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, Odds, Undecided, both, certain, undecided, unless
from kinspect.model.packet import ICMP, ICMPV6, Address, CtState, Packet, protocol_name
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions
from kinspect.netfilter.options import (
    Masked,
    Option,
    OptionError,
    Options,
    ValueKind,
    integer,
    port_range,
    protocol,
)
from kinspect.netfilter.printed import NOT, printed

_TUPLE: Final = ("orig", "repl")
OPTIONS_conntrack: Final = {
    "--ctstate": 1, "--ctproto": 1, "--ctstatus": 1, "--ctexpire": 1, "--ctdir": 1,
    **{f"--ct{way}{end}": 1 for way in _TUPLE for end in ("src", "dst", "srcport", "dstport")},
}  # fmt: skip
OPTIONS_state: Final = {"--state": 1}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys((*OPTIONS_conntrack, *OPTIONS_state), "plain")

# In the order in which iptables tries abbreviations.
_STATES: Final = ("INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT")
_STATUSES: Final = ("NONE", "EXPECTED", "SEEN_REPLY", "ASSURED", "CONFIRMED")

Direction = Literal["orig", "repl"]


@dataclass(frozen=True, slots=True)
class State:
    """The connection has one of the listed states.

    DNAT and SNAT are virtual states, which the connection has besides the real one once an address is
    translated. Before conntrack has seen a packet (table raw), its state is INVALID; with a template of
    -j CT it is NEW.
    """

    states: frozenset[str]
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: a trace states the connection's state."""
        return certain(bool(_states(packet) & self.states) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The states that the packet has."""
        return f"its state is {','.join(sorted(_states(packet)))}"


@dataclass(frozen=True, slots=True)
class TupleProtocol:
    """The connection has the protocol; an ICMP error is related to a connection of another protocol."""

    number: int
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain, except for related ICMP."""
        if packet.template:
            return certain((self.number == 0) != self.inverted)
        if packet.state is CtState.RELATED and packet.protocol in (ICMP, ICMPV6):
            question = f"the connection that the packet is related to is {protocol_name(self.number)}"
            return unless(self.inverted, undecided("connection", question))
        return certain((packet.protocol == self.number) != self.inverted)


@dataclass(frozen=True, slots=True)
class Ends:
    """An address or ports, source or destination, of the connection's original or reply tuple."""

    way: Direction
    end: Literal["src", "dst"]
    text: str  # the value as written
    network: Masked | None = None
    ports: tuple[int, int] | None = None
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """A packet shows the tuple of its own direction; a first packet determines the other one too."""
        address, port = self._known(packet)
        side = "source" if self.end == "src" else "destination"
        tuple_name = "original" if self.way == "orig" else "reply"
        if self.network is not None:
            if address is not None:
                return certain((address in self.network) != self.inverted)
            question = f"the {tuple_name} {side} of the connection is in {self.text}"
        else:
            low, high = self.ports or (0, 0xFFFF)
            if port is not None:
                return certain((low <= port <= high) != self.inverted)
            question = f"the {tuple_name} {side} port of the connection is in {self.text}"
        return unless(self.inverted, undecided("connection", question))

    def _known(self, packet: Packet) -> tuple[Address | None, int | None]:
        first = packet.first
        if packet.template:  # it has no addresses yet
            return (IPv4Address(0) if packet.family == 4 else IPv6Address(0)), 0
        if packet.state is CtState.RELATED:
            return None, None
        if self.way == ("repl" if packet.reverse else "orig") and packet.reverse is not None:
            return (first.src, first.sport) if self.end == "src" else (first.dst, first.dport)
        if packet.state is CtState.NEW:  # the reply to the packet as it is now
            return (packet.dst, packet.dport) if self.end == "src" else (packet.src, packet.sport)
        return None, None


@dataclass(frozen=True, slots=True)
class Status:
    """One of the status bits is set; NONE names no bit, so it never matches."""

    statuses: frozenset[str]
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """A first packet's connection has none of them; an established one certainly has two."""
        asked = self.statuses - {"NONE"}
        if packet.looped and "CONFIRMED" in asked:  # when the packet left by lo
            return certain(not self.inverted)
        if packet.template or packet.state is CtState.NEW or not asked:
            return certain(self.inverted)
        if packet.state is CtState.ESTABLISHED and asked & {"SEEN_REPLY", "CONFIRMED"}:
            return certain(not self.inverted)
        question = f"the connection's status is {','.join(sorted(asked))}"
        return unless(self.inverted, undecided("connection", question))


@dataclass(frozen=True, slots=True)
class Flow:
    """The packet travels in the connection's original direction, or in that of the replies."""

    reply: bool
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """A first packet travels in the original direction."""
        if packet.template:
            return certain(self.reply == self.inverted)
        if packet.reverse is None:
            asked = undecided("connection", "the packet travels in its connection's reply direction")
            asked = asked if self.reply else asked.inverted()
            return unless(self.inverted, asked)
        return certain((packet.reverse == self.reply) != self.inverted)


@dataclass(frozen=True, slots=True)
class Expiry:
    """The connection's remaining lifetime, which is always a question."""

    text: str
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided."""
        return unless(
            self.inverted, undecided("connection", f"the connection expires in {self.text} seconds")
        )


Part = TupleProtocol | Ends | Status | Flow | Expiry


@dataclass(frozen=True, slots=True)
class Conntrack:
    """All conditions of one ``-m conntrack``.

    If there is no connection, the kernel looks at the state only: with a matching state all other
    options match, and without one none does.
    """

    state: State | None
    parts: tuple[Part, ...]

    def distinguishes(self) -> Distinctions | None:
        """What it asks of a tuple is of another packet's addresses."""
        seen = all(isinstance(part, Status | Flow | Expiry | TupleProtocol) for part in self.parts)
        return NO_DISTINCTIONS if seen else None

    def odds(self, packet: Packet, host: Host) -> Odds:
        """The state first, then the rest."""
        if self.state is not None and self.state.odds(packet, host) == NEVER:
            return NEVER
        if not connected(packet):
            return certain(self.state is not None)
        found: Odds = ALWAYS
        for part in self.parts:
            odds = part.odds(packet, host)
            if odds == NEVER:
                return NEVER
            if isinstance(odds, Undecided):
                found = odds if found == ALWAYS or not isinstance(found, Undecided) else both(found, odds)
        return found

    def seen(self, packet: Packet) -> str:
        """The packet's states, and its source and destination."""
        first = packet.first
        return (
            f"its state is {','.join(sorted(_states(packet)))}, "
            f"its connection is from {first.src} to {first.dst}"
        )


def connected(packet: Packet) -> bool:
    """Whether the packet has a connection, or a template of one."""
    return packet.template or (packet.tracked and packet.state not in (CtState.UNTRACKED, CtState.INVALID))


def _states(packet: Packet) -> set[str]:
    if packet.template:
        return {"NEW"}
    if not packet.tracked:
        return {"UNTRACKED" if packet.untracked else "INVALID"}
    states = {packet.state.value}
    if connected(packet):
        if packet.dnat:
            states.add("DNAT")
        if packet.snat:
            states.add("SNAT")
    return states


def _listed(option: Option, known: tuple[str, ...]) -> frozenset[str]:
    """A list of words, each of which may be abbreviated: the first known word with that prefix is taken."""
    found = set()
    for word in option.value.upper().split(","):
        full = next((name for name in known if word and name.startswith(word)), None)
        if full is None:
            raise option.error(f"a list of {', '.join(known)}")
        found.add(full)
    return frozenset(found)


def _end(option: Option) -> Ends:
    way: Direction = "orig" if option.name[4:8] == "orig" else "repl"
    end: Literal["src", "dst"] = "src" if option.name[8:11] == "src" else "dst"
    if option.name.endswith("port"):
        ports = option.read(port_range, "a port or range")
        return Ends(way, end, option.value, ports=ports, inverted=option.inverted)
    network = option.read(Masked.read, "an address or network")
    return Ends(way, end, option.value, network, inverted=option.inverted)


def _seconds(text: str) -> str:
    low, _, high = text.partition(":")
    for part in (low, high):
        if part:
            integer(part)
    if not low and not high:
        raise ValueError(text)
    return text


def _part(option: Option) -> Part:
    match option.name:
        case "--ctproto":
            return TupleProtocol(option.read(protocol, "a protocol"), option.inverted)
        case "--ctstatus":
            return Status(_listed(option, _STATUSES), option.inverted)
        case "--ctexpire":
            return Expiry(option.read(_seconds, "seconds, as N or N:N,"), option.inverted)
        case "--ctdir":
            way = option.value.upper()
            if way not in ("ORIGINAL", "REPLY"):
                raise option.error("ORIGINAL or REPLY")
            return Flow(way == "REPLY", option.inverted)
        case _:
            return _end(option)


def read_state(options: Options) -> State:
    """``-m state``."""
    option = options.need("--state")
    return State(_listed(option, _STATES[:5]), option.inverted)


def read_conntrack(options: Options) -> State | Conntrack:
    """``-m conntrack``; if ``--ctstate`` is its only option, as in most rules, a State."""
    option = options.get("--ctstate")
    state = State(_listed(option, _STATES), option.inverted) if option else None
    parts = {o.name: _part(o) for o in options if o.name != "--ctstate"}  # the last option of a name wins
    if state is not None and not parts:
        return state
    if not parts:
        raise OptionError("expected --ctstate or another option of conntrack", options.word)
    return Conntrack(state, tuple(parts.values()))


PRINTED: Final = (
    printed(rf"{NOT}ctstate (\S+)", r"-m conntrack --ctstate \2"),
    printed(rf"{NOT}state (\S+)", r"-m state --state \2"),
)
