"""ACCEPT, DROP and RETURN, and jumps to a chain (iptables(8), TARGETS)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import (
    NO_DISTINCTIONS,
    Back,
    ChainName,
    Described,
    Distinctions,
    Effect,
    End,
    Enter,
    Verdict,
)
from kinspect.netfilter.options import Options

OPTIONS: Final[dict[str, int]] = {}


@dataclass(frozen=True, slots=True)
class Accept:
    """The walk of this table's hook ends; the packet goes on."""

    def described(self) -> Described:
        """Its name."""
        return Described("ACCEPT")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """ACCEPT."""
        return End(Verdict.ACCEPT, packet)


@dataclass(frozen=True, slots=True)
class Drop:
    """The packet ends, silently."""

    def described(self) -> Described:
        """Its name."""
        return Described("DROP", "ends")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """DROP."""
        return End(Verdict.DROP, packet)


@dataclass(frozen=True, slots=True)
class Return:
    """Returns to the calling chain; in a built-in chain, its policy applies."""

    def described(self) -> Described:
        """Its name."""
        return Described("RETURN")

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """Back."""
        return Back()


@dataclass(frozen=True, slots=True)
class Jump:
    """Enters another chain, which returns here; with ``goto`` (``-g``) it returns to this chain's caller."""

    chain: ChainName
    goto: bool = False

    def described(self) -> Described:
        """The chain."""
        return Described(self.chain)

    def distinguishes(self) -> Distinctions:
        """Nothing."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """Enter the chain."""
        return Enter(self.chain, self.goto)


def read_ACCEPT(options: Options) -> Accept:  # noqa: N802 - named after the target
    """``-j ACCEPT``."""
    return Accept()


def read_DROP(options: Options) -> Drop:  # noqa: N802
    """``-j DROP``."""
    return Drop()


def read_RETURN(options: Options) -> Return:  # noqa: N802
    """``-j RETURN``."""
    return Return()
