"""The options that every rule may have: -s, -d, -p, -i, -o and -f (iptables(8), PARAMETERS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, Odds, certain, undecided, unless
from kinspect.model.packet import Packet, protocol_name
from kinspect.model.questions import Input
from kinspect.model.rules import NO_DISTINCTIONS, Distinctions, Match
from kinspect.netfilter.options import Masked, Option, protocol

# Canonical name of each spelling; all take one value but for -f.
SPELLINGS: Final = {
    "-s": "-s", "--source": "-s", "--src": "-s",
    "-d": "-d", "--destination": "-d", "--dst": "-d",
    "-p": "-p", "--protocol": "-p", "--proto": "-p",
    "-i": "-i", "--in-interface": "-i",
    "-o": "-o", "--out-interface": "-o",
    "-f": "-f", "--fragment": "-f",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SourceAddress:
    """The source address is in the network."""

    network: Masked
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """The network."""
        span = self.network.span
        return Distinctions(sources=None if span is None else (span,))

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: the mask decides."""
        return certain((packet.src in self.network) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The source."""
        return f"the source is {packet.src}"


@dataclass(frozen=True, slots=True)
class DestinationAddress:
    """The destination address is in the network."""

    network: Masked
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """The network."""
        span = self.network.span
        return Distinctions(destinations=None if span is None else (span,))

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: the mask decides."""
        return certain((packet.dst in self.network) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The destination."""
        return f"the destination is {packet.dst}"


@dataclass(frozen=True, slots=True)
class Protocol:
    """The packet is of the protocol; number 0 stands for all (and never matches inverted)."""

    number: int
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: the header says."""
        return certain((self.number in (0, packet.protocol)) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The protocol."""
        return f"the protocol is {protocol_name(packet.protocol)}"


@dataclass(frozen=True, slots=True)
class Interface:
    """The interface is of the name, or begins with it where the name ends in ``+``.

    A packet made here comes in by no interface, and one not yet routed leaves by none: the kernel
    compares with an empty name then, which matches only ``+``.
    """

    name: str
    outgoing: bool = False
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided where nobody said by which interface the packet comes in or leaves."""
        interface = packet.oif if self.outgoing else packet.iif
        if interface is None and (self.outgoing or not packet.local):
            if self.name == "+":
                return certain(not self.inverted)
            way = "leaves" if self.outgoing else "comes in"
            return unless(
                self.inverted,
                undecided("interface", f"the packet {way} by interface {self.name}", *self._inputs()),
            )
        found = interface or ""
        if self.name.endswith("+"):
            return certain(found.startswith(self.name[:-1]) != self.inverted)
        return certain((found == self.name) != self.inverted)

    def _inputs(self) -> tuple[Input, ...]:
        """Where a packet comes in can be stated; where it leaves, routes say."""
        return (Input("routes"),) if self.outgoing else (Input("incoming-interface", self.name),)

    def seen(self, packet: Packet) -> str:
        """The interface."""
        interface = packet.oif if self.outgoing else packet.iif
        if not self.outgoing and packet.local:
            return "the packet is made here"
        if interface == "":
            return "it leaves by no interface, or is not routed yet"
        return f"it {'leaves' if self.outgoing else 'comes in'} by {interface or 'an unknown interface'}"


@dataclass(frozen=True, slots=True)
class Fragment:
    """A second or further fragment."""

    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: the header says."""
        return certain(packet.fragment != self.inverted)

    def seen(self, packet: Packet) -> str:
        """Whether it is one."""
        return "it is a later fragment" if packet.fragment else "it is no later fragment"


@dataclass(frozen=True, slots=True)
class Anything:
    """A condition that every packet meets, such as ``-s 0.0.0.0/0``."""

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Always."""
        return ALWAYS

    def seen(self, packet: Packet) -> str:
        """Nothing."""
        return "it holds for every packet"


def read(option: Option) -> Match:
    """One of these options, by its canonical name."""
    match option.name:
        case "-s":
            return SourceAddress(option.read(Masked.read, "an address or network"), option.inverted)
        case "-d":
            return DestinationAddress(option.read(Masked.read, "an address or network"), option.inverted)
        case "-p":
            return Protocol(option.read(protocol, "a protocol"), option.inverted)
        case "-i" | "-o":
            return Interface(option.value, option.name == "-o", option.inverted)
        case _:
            return Fragment(option.inverted)
