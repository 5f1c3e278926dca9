"""``-m conntrack``: what connection tracking says of the packet (kernel: xt_conntrack.c)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import Odds, certain
from kinspect.model.packet import CtState, Packet
from kinspect.model.rules import Match
from kinspect.netfilter.options import Option, OptionError, Options

OPTIONS: Final = {"--ctstate": 1}

_STATES: Final = frozenset({"NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED", "DNAT", "SNAT"})


@dataclass(frozen=True, slots=True)
class State:
    """The connection's state is one of the list.

    DNAT and SNAT are virtual: true beside the real state once a binding has changed an address.
    Before conntrack has seen a packet (table raw) the kernel finds no connection: INVALID.
    """

    states: frozenset[str]
    inverted: bool = False

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Certain: the trace says the state that it assumes."""
        return certain(bool(_states(packet) & self.states) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """The states that are true of it."""
        return f"its state is {','.join(sorted(_states(packet)))}"


def _states(packet: Packet) -> set[str]:
    if not packet.tracked and packet.state is not CtState.UNTRACKED:
        return {"INVALID"}
    states = {packet.state.value}
    if packet.dnat:
        states.add("DNAT")
    if packet.snat:
        states.add("SNAT")
    return states


def read_state(option: Option) -> State:
    """A list of states, as ``--ctstate`` and the older ``--state`` take it."""
    states = frozenset(option.value.upper().split(","))
    if not states <= _STATES:
        raise option.error("a list of NEW, ESTABLISHED, RELATED, INVALID, UNTRACKED, DNAT, SNAT")
    return State(states, option.inverted)


def read(options: Options) -> Match:
    """``--ctstate``."""
    option = options.get("--ctstate")
    if option is None:
        raise OptionError("expected --ctstate", options.word)
    return read_state(option)
