"""QUEUE and NFQUEUE: hand the packet to a program, which decides (kernel: xt_NFQUEUE.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, undecided
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, Described, Distinctions, Effect, End, OneOf, Verdict
from kinspect.netfilter.options import Options, ValueKind, integer

ALWAYS_OPEN: Final = "it depends on a program on the host"
OPTIONS_QUEUE: Final[dict[str, int]] = {}
OPTIONS_NFQUEUE: Final = {
    "--queue-num": 1,
    "--queue-balance": 1,
    "--queue-bypass": 0,
    "--queue-cpu-fanout": 0,
}
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS_NFQUEUE, "plain")


@dataclass(frozen=True, slots=True)
class Queue:
    """If a program listens, it decides; else the packet is dropped, or accepted with ``bypass``."""

    queues: tuple[int, int] = (0, 0)
    bypass: bool = False

    def described(self) -> Described:
        """The queue, or the range of them."""
        low, high = self.queues
        return Described(f"NFQUEUE {low}" if low == high else f"NFQUEUE {low}:{high}")

    def distinguishes(self) -> Distinctions:
        """Its question is the same for all packets."""
        return NO_DISTINCTIONS

    def act(self, packet: Packet, host: Host) -> Effect:
        """Undecided: whether a program listens."""
        low, high = self.queues
        name = f"queue {low}" if low == high else f"queues {low} to {high}"
        otherwise = Verdict.ACCEPT if self.bypass else Verdict.DROP
        listens = undecided("program", f"a program listens on netfilter {name}")
        return OneOf(((listens, End(Verdict.QUEUE, packet)), (ALWAYS, End(otherwise, packet))))


def read_QUEUE(options: Options) -> Queue:  # noqa: N802 - named after the target
    """``-j QUEUE``: queue 0."""
    return Queue()


def read_NFQUEUE(options: Options) -> Queue:  # noqa: N802
    """``--queue-num`` or ``--queue-balance``, and ``--queue-bypass``."""
    number, balance = options.get("--queue-num"), options.get("--queue-balance")
    queues = (0, 0)
    if number:
        one = number.read(lambda text: integer(text, 0, 0xFFFF), "the number of a queue")
        queues = (one, one)
    elif balance:

        def ends(text: str) -> tuple[int, int]:
            low_text, _, high_text = text.partition(":")
            low = integer(low_text, 0, 0xFFFF)
            return low, integer(high_text, low, 0xFFFF)

        queues = balance.read(ends, "a range of queues, as N:M,")
    return Queue(queues, options.has("--queue-bypass"))
