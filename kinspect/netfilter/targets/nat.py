"""DNAT, SNAT and MASQUERADE: translate addresses (kernel: nf_nat_core.c, nf_nat_masquerade.c).

Assumed: no other connection interferes. (A connection from the same source address and port shares its
new source; if a port is taken, the kernel draws another.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from kinspect.errors import Undetermined
from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, Odds, undecided
from kinspect.model.packet import WITH_PORTS, Address, Packet, read_address
from kinspect.model.rules import Bind, Described, Distinctions, Effect, End, OneOf, Verdict
from kinspect.netfilter.hashing import chosen_address
from kinspect.netfilter.options import Option, Options, ValueKind, port
from kinspect.netfilter.printed import printed
from kinspect.netfilter.source_address import Nothing, source_address

_RANDOM: Final = {"--random": 0, "--persistent": 0, "--random-fully": 0}
_MOST_ADDRESSES: Final = 256
OPTIONS_DNAT: Final = {"--to-destination": 1, **_RANDOM}
OPTIONS_SNAT: Final = {"--to-source": 1, **_RANDOM}
OPTIONS_MASQUERADE: Final = {"--to-ports": 1, **_RANDOM}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(
    (*OPTIONS_DNAT, *OPTIONS_SNAT, *OPTIONS_MASQUERADE), "plain"
)


RandomPort = Literal["", "--random", "--random-fully"]
"""How a port is drawn, if it is; the two are the same for one packet."""


@dataclass(frozen=True, slots=True)
class PortRange:
    """A range of ports; with ``base``, a port is mapped by its distance from ``base``."""

    low: int
    high: int
    base: int | None = None

    def __str__(self) -> str:
        span = str(self.low) if self.low == self.high else f"{self.low}-{self.high}"
        return span if self.base is None else f"{span}/{self.base}"

    @property
    def count(self) -> int:
        """The number of ports."""
        return self.high - self.low + 1

    def destination(self, present: int | None, *, anew: bool) -> int | None:
        """The new destination port: kept if it is in the range, else the lowest.

        None if it is not known: drawn ``anew`` (--random), or mapped from a port that is not known.
        """
        if self.count == 1:
            return self.low
        if anew or present is None:
            return None
        if self.base is not None:
            return self.low + (present - self.base & 0xFFFF) % self.count
        return present if self.low <= present <= self.high else self.low

    def source(self, present: int | None, *, anew: bool) -> int | None:
        """The new source port: kept if it is in the range, else drawn."""
        if self.count == 1:
            return self.low
        kept = not anew and present is not None and self.low <= present <= self.high
        return present if kept else None


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses and ports to choose from; None: unchanged."""

    low: Address | None = None
    high: Address | None = None
    ports: PortRange | None = None

    def __str__(self) -> str:
        span = "" if self.low is None else str(self.low)
        if self.high != self.low:
            span += f"-{self.high}"
        if self.ports is None:
            return span
        version = 4 if self.low is None else self.low.version
        return f"{span if version == 4 else f'[{span}]'}:{self.ports}"

    def holds(self, address: Address, port: int | None, packet: Packet) -> bool:
        """Whether address and port are in the range."""
        if self.low is not None and self.high is not None and not self.low <= address <= self.high:  # type: ignore[operator]
            return False
        if self.ports is None or packet.protocol not in WITH_PORTS:
            return True
        return port is not None and self.ports.low <= port <= self.ports.high

    @property
    def several(self) -> bool:
        """Whether there are several addresses to choose from."""
        return self.low != self.high

    def address(self, side: Literal["src", "dst"], packet: Packet, *, persistent: bool) -> Address:
        """The address for a packet; of several, the kernel picks by a hash of source and destination."""
        if self.low is None or self.high is None:
            return packet.src if side == "src" else packet.dst
        return chosen_address(
            self.low,
            self.high,
            packet.src,
            packet.dst,
            persistent=persistent,
            rewrites=side,
            zone=packet.zone or 0,
        )


@dataclass(frozen=True, slots=True)
class Dnat:
    """Changes the connection's destination; ends the walk of the nat table."""

    to: Range
    random: RandomPort = ""
    persistent: bool = False

    def described(self) -> Described:
        """Where to."""
        return Described(_words(f"DNAT to {self.to}", self.random), "rewrites")

    def distinguishes(self) -> Distinctions | None:
        """What goes there already is not changed."""
        if self.to.low != self.to.high:
            return None  # of several a hash decides
        own = () if self.to.low is None else ((int(self.to.low), int(self.to.low)),)
        return Distinctions(destinations=own)

    def act(self, packet: Packet, host: Host) -> Effect:
        """Translate the destination."""
        if packet.zone is None and self.to.several:
            return _any_of(self.to, lambda to: replace(self, to=to).act(packet, host))
        chosen = self.to.address("dst", packet, persistent=self.persistent)
        return with_destination(packet, chosen, self.to.ports, anew=bool(self.random))


@dataclass(frozen=True, slots=True)
class Snat:
    """Changes the connection's source; ends the walk of the nat table."""

    to: Range
    random: RandomPort = ""
    persistent: bool = False

    def described(self) -> Described:
        """The new source."""
        return Described(_words(f"SNAT to {self.to}", self.random), "rewrites")

    def distinguishes(self) -> Distinctions | None:
        """Of several addresses a hash decides."""
        return Distinctions(of_host=True) if self.to.low == self.to.high else None  # a hash of both ends

    def act(self, packet: Packet, host: Host) -> Effect:
        """Translate the source; one in the range is kept (get_unique_tuple in nf_nat_core.c)."""
        if not self.random and self.to.holds(packet.src, packet.sport, packet):
            return with_source(packet, packet.src)
        if packet.zone is None and self.to.several:
            return _any_of(self.to, lambda to: replace(self, to=to).act(packet, host))
        chosen = self.to.address("src", packet, persistent=self.persistent)
        return with_source(packet, chosen, self.to.ports, anew=bool(self.random))


@dataclass(frozen=True, slots=True)
class Masquerade:
    """Changes the source to the address that the kernel would choose for the outgoing interface."""

    ports: PortRange | None = None
    random: RandomPort = ""

    def described(self) -> Described:
        """The ports, if they are given."""
        ports = f" to ports {self.ports}" if self.ports else ""
        return Described(_words(f"MASQUERADE{ports}", self.random), "rewrites")

    def distinguishes(self) -> Distinctions:
        """The host chooses the source."""
        return Distinctions(of_host=True)

    def act(self, packet: Packet, host: Host) -> Effect:
        """Translate the source; its address is "masquerade" if the snapshot does not determine it.

        If no interface has a usable address, the kernel drops the packet.
        """
        chosen = source_address(packet, host)
        if chosen is Nothing.USABLE:
            return End(Verdict.DROP, packet)
        if chosen is not None:
            return with_source(packet, chosen, self.ports, anew=bool(self.random))
        sport = _source_port(packet, self.ports, anew=bool(self.random))
        return Bind(
            packet.replace(sport=sport, snat=True, src_bound=True, original=packet.first), "masquerade"
        )


def _words(what: str, random: RandomPort) -> str:
    return f"{what} {random}".rstrip()


def _any_of(to: Range, act: Callable[[Range], Effect]) -> Effect:
    """One outcome per address of a range: the choice depends on the zone, which is not known."""
    assert to.low is not None
    assert to.high is not None
    if int(to.high) - int(to.low) >= _MOST_ADDRESSES:
        raise Undetermined(
            f"which of the addresses {to.low}-{to.high} a connection gets depends on its conntrack zone,"
            " which is a mark that is not known",
        )
    ways: list[tuple[Odds, Effect]] = []
    for number in range(int(to.low), int(to.high) + 1):
        address = IPv4Address(number) if to.low.version == 4 else IPv6Address(number)
        odds = undecided(
            "connection", f"the connection's zone is one that gets {address} of {to.low}-{to.high}"
        )
        ways.append((odds, act(Range(address, address, to.ports))))
    ways[-1] = (ALWAYS, ways[-1][1])
    return OneOf(tuple(ways))


def with_destination(packet: Packet, dst: Address, ports: PortRange | None, *, anew: bool = False) -> Bind:
    """The packet with its new destination; DNAT becomes a state of the connection if it changed."""
    port = packet.dport
    if ports is not None and packet.protocol in WITH_PORTS:
        port = ports.destination(port, anew=anew)
    changed = dst != packet.dst or port != packet.dport
    return Bind(
        packet.replace(
            dst=dst, dport=port, dnat=packet.dnat or changed, dst_bound=True, original=packet.first
        )
    )


def with_source(packet: Packet, src: Address, ports: PortRange | None = None, *, anew: bool = False) -> Bind:
    """The packet with a known new source; SNAT becomes a state of the connection if it changed."""
    sport = _source_port(packet, ports, anew=anew)
    changed = src != packet.src or sport != packet.sport
    return Bind(
        packet.replace(
            src=src, sport=sport, snat=packet.snat or changed, src_bound=True, original=packet.first
        ),
        str(src),
    )


def _source_port(packet: Packet, ports: PortRange | None, *, anew: bool) -> int | None:
    """The port is kept unless the rule says otherwise; the kernel draws one only if it is taken."""
    if packet.protocol not in WITH_PORTS:
        return packet.sport
    return (ports or PortRange(0, 0xFFFF)).source(packet.sport, anew=anew)


def read_ports(text: str) -> PortRange:
    """``80``, ``1000-2000`` or ``1000-2000/5000``. Raises ValueError."""
    span, slash, base = text.partition("/")
    low_text, dash, high_text = span.partition("-")
    low = port(low_text)
    high = port(high_text) if dash else low
    if not 0 < low <= high:
        raise ValueError(text)
    return PortRange(low, high, port(base) if slash else None)


def _range(option: Option) -> Range:
    if not option.value:
        raise option.error("an address or a port")

    def read(text: str) -> Range:
        if text.startswith("["):
            hosts, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ValueError(text)
            colon, ports_text = rest[:1], rest[1:]
        elif text.count(":") > 1:
            hosts, colon, ports_text = text, "", ""
        else:
            hosts, colon, ports_text = text.partition(":")
        low_text, dash, high_text = hosts.partition("-")
        low = read_address(low_text) if low_text else None
        high = read_address(high_text) if dash else low
        if low is not None and high is not None and (low.version != high.version or int(high) < int(low)):
            raise ValueError(text)
        return Range(low, high, read_ports(ports_text) if colon else None)

    return option.read(read, "an address, as ADDR[-ADDR][:PORT[-PORT]],")


def _random(options: Options) -> RandomPort:
    if options.has("--random-fully"):
        return "--random-fully"
    return "--random" if options.has("--random") else ""


def read_DNAT(options: Options) -> Dnat:  # noqa: N802 - named after the target
    """``--to-destination [ADDR[-ADDR]][:PORT[-PORT[/BASE]]]``."""
    to = _range(options.need("--to-destination"))
    return Dnat(to, _random(options), options.has("--persistent"))


def read_SNAT(options: Options) -> Snat:  # noqa: N802
    """``--to-source [ADDR[-ADDR]][:PORT[-PORT]]``."""
    to = _range(options.need("--to-source"))
    return Snat(to, _random(options), options.has("--persistent"))


def read_MASQUERADE(options: Options) -> Masquerade:  # noqa: N802
    """``-j MASQUERADE``, optionally with ports."""
    ports = options.get("--to-ports")
    return Masquerade(ports.read(read_ports, "a port or range") if ports else None, _random(options))


PRINTED: Final = (
    printed(r"masq ports: (\S+)", r"--to-ports \1"),
    printed(r"random-fully", "--random-fully"),
    printed(r"random", "--random"),
    printed(r"persistent", "--persistent"),
)
