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

# The canonical name of each spelling; all take one value, except -f.
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
        """Certain: the address is in the packet."""
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
        """Certain: the address is in the packet."""
        return certain((packet.dst in self.network) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The destination."""
        return f"the destination is {packet.dst}"


@dataclass(frozen=True, slots=True)
class Protocol:
    """The packet has the protocol; number 0 means any (and never matches if inverted)."""

    number: int
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: it is in the header."""
        return certain((self.number in (0, packet.protocol)) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The protocol."""
        return f"the protocol is {protocol_name(packet.protocol)}"


@dataclass(frozen=True, slots=True)
class Interface:
    """The interface has this name or, if the name ends in ``+``, a name that begins with it.

    A packet that was made on this host has no input interface, and one that is not routed yet has no
    output interface. The kernel then compares with an empty name, which only ``+`` matches.
    """

    name: str
    outgoing: bool = False
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if the packet's interface is not known."""
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
            return "the packet is from this host"
        if interface == "":
            return "it has no output interface, or is not routed yet"
        return f"it {'leaves' if self.outgoing else 'comes in'} by {interface or 'an unknown interface'}"


@dataclass(frozen=True, slots=True)
class Fragment:
    """A second or further fragment."""

    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Not addresses, nor ports."""
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: it is in the header."""
        return certain(packet.fragment != self.inverted)

    def seen(self, packet: Packet) -> str:
        """Whether the packet is one."""
        return "it is a later fragment" if packet.fragment else "it is not a later fragment"


@dataclass(frozen=True, slots=True)
class Anything:
    """A condition that matches every packet, such as ``-s 0.0.0.0/0``."""

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
