"""``-m multiport``: a list of ports (kernel: xt_multiport.c)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from kinspect.model.host import Host
from kinspect.model.odds import NEVER, Odds, certain, undecided, unless
from kinspect.model.packet import UDPLITE, WITH_PORTS, Packet
from kinspect.model.questions import Input
from kinspect.model.rules import Distinctions
from kinspect.netfilter.options import Options, ValueKind, port_range
from kinspect.netfilter.printed import NOT, printed

PROTOCOLS: Final = WITH_PORTS | {UDPLITE}  # of multiport's final_check
OPTIONS: Final = {
    "--sports": 1, "--source-ports": "--sports",
    "--dports": 1, "--destination-ports": "--dports",
    "--ports": 1,
}  # fmt: skip
VALUES: Final[Mapping[str, ValueKind]] = dict.fromkeys(OPTIONS, "plain")

Side = Literal["source", "destination", "either"]
_SIDES: Final[dict[str, Side]] = {"--sports": "source", "--dports": "destination", "--ports": "either"}


@dataclass(frozen=True, slots=True)
class Multiport:
    """The source port, the destination port, or either of them is in one of the ranges."""

    side: Side
    ranges: tuple[tuple[int, int], ...]
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        """Destination ports."""
        return Distinctions(ports=self.ranges if self.side != "source" else ())

    def odds(self, packet: Packet, host: Host) -> Odds:
        """Undecided if a port that matters is not known."""
        if packet.protocol not in WITH_PORTS or packet.fragment:
            return NEVER
        asked = {"source": [packet.sport], "destination": [packet.dport]}.get(
            self.side, [packet.sport, packet.dport]
        )
        found = [None if port is None else self._holds(port) for port in asked]
        if True not in found and None in found:
            ports = ",".join(f"{low}:{high}" if high > low else str(low) for low, high in self.ranges)
            return unless(
                self.inverted,
                undecided("packet-field", f"the {_which(self.side)} is one of {ports}", Input("packet")),
            )
        return certain((True in found) != self.inverted)

    def seen(self, packet: Packet) -> str:
        """Its ports."""
        if packet.protocol not in WITH_PORTS:
            return "its protocol has no ports"
        return f"its ports are {packet.sport} to {packet.dport}"

    def _holds(self, port: int) -> bool:
        return any(low <= port <= high for low, high in self.ranges)


def _which(side: Side) -> str:
    return "source or destination port" if side == "either" else f"{side} port"


def read(options: Options) -> Multiport:
    """``--sports``, ``--dports`` or ``--ports``."""
    option = options.need(*_SIDES)

    def ranges(text: str) -> tuple[tuple[int, int], ...]:
        return tuple(port_range(part) for part in text.split(","))

    found = option.read(ranges, "a list of ports and ranges")
    return Multiport(_SIDES[option.name], found, option.inverted)


PRINTED: Final = (
    printed(rf"multiport dports {NOT}(\S+)", r"-m multiport --dports \2"),
    printed(rf"multiport sports {NOT}(\S+)", r"-m multiport --sports \2"),
    printed(rf"multiport ports {NOT}(\S+)", r"-m multiport --ports \2"),
)
