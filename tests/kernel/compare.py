"""The kernel's counters against the answer's expected hits, rule by rule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from kinspect.evaluate.path import evaluate
from kinspect.model.packet import Packet
from kinspect.model.trace import Evaluation
from kinspect.parse.user.packet_text import scapy_packet
from tests.kernel.lab import Lab

WHERE = {"eth0": "outside", "cni0": "pod", None: None}


@dataclass(frozen=True)
class Difference:
    """A rule whose counter is not what the answer expects."""

    line: int
    rule: str
    counted: int
    expected: str


def sent(lab: Lab, backend: str, packets: list[Packet]) -> tuple[list[Evaluation], list[Difference]]:
    """Send the packets, each from where it says it comes; the answers and where the kernel differs."""
    family = packets[0].family
    state = lab.state(backend, family)
    rules = state.rulesets[family][0]
    before = lab.counters(backend, family)
    evaluations = [evaluate(packet, state.host, [rules]) for packet in packets]
    for iif in {packet.iif for packet in packets}:
        lab.send([bytes(scapy_packet(packet)) for packet in packets if packet.iif == iif], WHERE[iif])
    after = lab.counters(backend, family)
    low: dict[int, Fraction] = {}
    high: dict[int, Fraction] = {}
    spread: dict[int, float] = {}
    for evaluation in evaluations:
        for (_, _, line), weight in evaluation.hits.items():
            least, most = weight.counts()
            low[line] = low.get(line, Fraction(0)) + least
            high[line] = high.get(line, Fraction(0)) + most
            # A rule met twice by one packet, as on the way through lo, is not a draw.
            share = float(most) % 1
            spread[line] = spread.get(line, 0.0) + share * (1 - share)
    differences = []
    texts = dict(enumerate(lab.save(backend, family).decode().splitlines(), 1))
    for line, count in after.items():
        counted = count - before[line]
        slack = 5 * math.sqrt(spread.get(line, 0.0))
        if not low.get(line, 0) - slack <= counted <= high.get(line, 0) + slack:
            expected = f"{float(low.get(line, 0)):g}" + (f" ± {slack:.1f}" if slack else "")
            differences.append(Difference(line, texts[line], counted, expected))
    return evaluations, differences
