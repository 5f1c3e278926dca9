"""REJECT: the packet ends, and its sender is told (iptables-extensions(8))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kinspect.model.host import Host
from kinspect.model.packet import Packet
from kinspect.model.rules import Effect, End, Verdict
from kinspect.netfilter.options import Options

OPTIONS: Final = {"--reject-with": 1}


@dataclass(frozen=True, slots=True)
class Reject:
    """Ends the packet; ``answer`` is what the sender gets, such as ``icmp-port-unreachable``."""

    answer: str | None = None

    def act(self, packet: Packet, host: Host) -> Effect:
        """REJECT."""
        return End(Verdict.REJECT, packet)


def read(options: Options) -> Reject:
    """``--reject-with``."""
    option = options.get("--reject-with")
    return Reject(option.value if option else None)
