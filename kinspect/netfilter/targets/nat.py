"""DNAT, SNAT and MASQUERADE: bindings of a connection (kernel: nf_nat_core.c, nf_nat_masquerade.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, Undecided
from kinspect.model.packet import WITH_PORTS, Address, Packet
from kinspect.model.rules import Bind, Effect, OneOf
from kinspect.netfilter.options import Option, Options, address, integer, port_range
from kinspect.netfilter.routing import source_address

_MOST_ADDRESSES: Final = 64
_RANDOM: Final = {"--random": 0, "--persistent": 0, "--random-fully": 0}
OPTIONS_DNAT: Final = {"--to-destination": 1, **_RANDOM}
OPTIONS_SNAT: Final = {"--to-source": 1, **_RANDOM}
OPTIONS_MASQUERADE: Final = {"--to-ports": 1, **_RANDOM}


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses and ports to choose from; None: as they are."""

    low: Address | None = None
    high: Address | None = None
    ports: tuple[int, int] | None = None

    def addresses(self) -> list[Address]:
        """The addresses, or the first and the last where they are very many."""
        if self.low is None or self.high is None:
            return []
        count = int(self.high) - int(self.low) + 1
        if count > _MOST_ADDRESSES:
            return [self.low, self.high]
        return [self.low + i for i in range(count)]

    def port(self, present: int | None, protocol: int, *, anew: bool) -> int | None:
        """The destination port: kept where it is in range, else the lowest (unless drawn ``anew``)."""
        if self.ports is None or protocol not in WITH_PORTS:
            return present
        low, high = self.ports
        if low == high:
            return low
        if anew or present is None:
            return None
        return present if low <= present <= high else low


@dataclass(frozen=True, slots=True)
class Dnat:
    """Another destination for the connection; ends the walk of the nat table.

    Of several addresses the kernel takes one by a hash of the addresses: which, is undecided.
    """

    to: Range
    random: bool = False

    def act(self, packet: Packet, host: Host) -> Effect:
        """Bind the destination."""
        port = self.to.port(packet.dport, packet.protocol, anew=self.random)
        return _choose(
            [_with_destination(packet, chosen, port) for chosen in self.to.addresses() or [packet.dst]],
            "destination",
        )


@dataclass(frozen=True, slots=True)
class Snat:
    """Another source for the connection; ends the walk of the nat table."""

    to: Range

    def act(self, packet: Packet, host: Host) -> Effect:
        """Bind the source."""
        return _choose(
            [with_source(packet, chosen) for chosen in self.to.addresses() or [packet.src]], "source"
        )


@dataclass(frozen=True, slots=True)
class Masquerade:
    """The address of the outgoing interface as source (the one that its kernel would choose)."""

    def act(self, packet: Packet, host: Host) -> Effect:
        """Bind the source; its address stays "masquerade" where the snapshot cannot tell it."""
        chosen = source_address(packet, host)
        if chosen is None:
            return Bind(packet.to(snat=True, src_bound=True, original=packet.first), "masquerade")
        return with_source(packet, chosen)


def _with_destination(packet: Packet, dst: Address, port: int | None) -> Bind:
    changed = dst != packet.dst or port != packet.dport
    return Bind(
        packet.to(dst=dst, dport=port, dnat=packet.dnat or changed, dst_bound=True, original=packet.first)
    )


def with_source(packet: Packet, src: Address) -> Bind:
    """A source binding to a known address."""
    return Bind(packet.to(src=src, snat=True, src_bound=True, original=packet.first), str(src))


def _choose(binds: list[Bind], what: str) -> Effect:
    if len(binds) == 1:
        return binds[0]
    options = []
    for bind in binds[:-1]:
        chosen = bind.packet.dst if what == "destination" else bind.packet.src
        options.append((Undecided(f"the kernel's hash picks {chosen} as {what}"), bind))
    return OneOf((*options, (ALWAYS, binds[-1])))


def _range(option: Option) -> Range:
    text = option.value
    if not text:
        raise option.error("an address or a port")

    def read(text: str) -> Range:
        ports = None
        if text.startswith("["):
            hosts, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ValueError(text)
            if "-[" in text:  # [a]-[b]:ports
                raise ValueError(text)
            ports_text = rest[1:]
        elif text.count(":") > 1:
            hosts, ports_text = text, ""
        else:
            hosts, _, ports_text = text.partition(":")
        if ports_text:
            ports = port_range(ports_text.partition("/")[0], "-")
            if ports[0] > ports[1]:
                raise ValueError(text)
        low_text, _, high_text = hosts.partition("-")
        low = address(low_text) if low_text else None
        high = address(high_text) if high_text else low
        if low is not None and high is not None and (low.version != high.version or int(high) < int(low)):
            raise ValueError(text)
        return Range(low, high, ports)

    return option.read(read, "an address, as ADDR[-ADDR][:PORT[-PORT]],")


def _single(options: Options, name: str) -> Option:
    """The option, which old kernels could hold twice: what was meant then is lost."""
    option = options.need(name)
    if sum(other.name == name for other in options) > 1:
        raise option.error("one address only: this rule, with several, is damaged: what was meant")
    return option


def read_DNAT(options: Options) -> Dnat:  # noqa: N802 - named after the target
    """``--to-destination [ADDR[-ADDR]][:PORT[-PORT]]``."""
    return Dnat(_range(_single(options, "--to-destination")), options.has("--random"))


def read_SNAT(options: Options) -> Snat:  # noqa: N802
    """``--to-source [ADDR[-ADDR]][:PORT[-PORT]]``."""
    return Snat(_range(_single(options, "--to-source")))


def read_MASQUERADE(options: Options) -> Masquerade:  # noqa: N802
    """``-j MASQUERADE``; the port that it takes is not followed."""
    ports = options.get("--to-ports")
    if ports:
        ports.read(lambda text: [integer(part, 0, 0xFFFF) for part in text.split("-")], "a port or range")
    return Masquerade()
