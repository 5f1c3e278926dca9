"""Where a packet can end, and how much of it, without the ways that lead there.

A tenth of the work of ``evaluate.path``: chains that read the same on other hosts are not walked
again (``shortcuts.chains``), nor is what follows nat (``shortcuts.after_nat``). Two packets with the
same ends differ in their ways and their new sources only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import lcm

from kinspect.evaluate.path import Journey, Point
from kinspect.evaluate.shortcuts.after_nat import AfterNatMemo
from kinspect.evaluate.shortcuts.chains import Bundle, ChainMemo
from kinspect.evaluate.walk import Branch, Record
from kinspect.model.host import Host
from kinspect.model.odds import NOTHING, Weight
from kinspect.model.packet import Address, Packet
from kinspect.model.rules import Ruleset
from kinspect.model.trace import Evaluation, PacketEnd, PacketEnds, Way


@dataclass(slots=True)
class _Sum:
    """Ways to their ends, one after the other."""

    sources: bool  # whether ends that differ in their rewritten source only are apart
    parts: list[tuple[PacketEnd, Weight]] = field(default_factory=list)

    def add(self, way: Way, dst: Address, dport: int | None, dnat: bool, weight: Weight) -> None:
        snat = self.sources and way.snat is not None
        end = (way.verdict.value, way.delivered, int(dst), dport, dnat, snat)
        self.parts.append((end, weight))

    def ends(self) -> PacketEnds | None:
        weights = dict(self.parts)
        if len(weights) < len(self.parts):  # several ways to one end
            weights = {}
            for end, weight in self.parts:
                weights[end] = weights.get(end, NOTHING) + weight
        found, whole = [], 1
        for end, weight in weights.items():
            share = weight.sole
            if share is None:
                return None
            if share:
                found.append((end, share.numerator, share.denominator))
                whole = lcm(whole, share.denominator)
        # All packets end somewhere: where some do not, something was forgotten on the way.
        total = sum([numerator * (whole // denominator) for _, numerator, denominator in found])
        return frozenset(found) if total == whole else None


@dataclass(slots=True)
class _Beyond:
    """Adds up where branches go from behind nat, in place of walking there."""

    after_nat: AfterNatMemo
    sum: _Sum

    def __call__(self, journey: Journey, point: Point, branch: Branch) -> None:
        packet, memo, parts, sources = branch.packet, self.after_nat, self.sum.parts, self.sum.sources
        dnat, rest = packet.dnat, memo.rest(packet)
        others = branch.others if isinstance(branch, Bundle) else ()
        for dst, dport, weight in ((packet.dst, packet.dport, branch.weight), *others):
            number = int(dst)
            # Of packets made here, only those that nat sends to another address are routed again.
            at = point
            if others and point != "came in":
                at = "goes out" if dst == packet.first.dst else "goes elsewhere"
            key = memo.key(at, rest, dst.version, number, dport)
            ways = None if key is None else memo.known(key)
            if ways is None:
                alone = Branch(packet.replace(dst=dst, dport=dport), weight, None, branch.snat)
                self._unknown(journey, at, alone)
                continue
            for way in ways:
                snat = sources and way.snat is not None
                end = (way.verdict.value, way.delivered, number, dport, dnat, snat)
                parts.append((end, weight.times(way.weight)))

    def _unknown(self, journey: Journey, point: Point, branch: Branch) -> None:
        """One that is followed for the first time, or that cannot be shared."""
        packet = branch.packet
        ways = self.after_nat.ways(journey, point, branch)
        if ways is None:
            journey.follow(point, branch)
            return
        for way in ways:
            self.sum.add(way, packet.dst, packet.dport, packet.dnat, branch.weight.times(way.weight))


def ends(
    packet: Packet,
    host: Host,
    rulesets: Sequence[Ruleset],
    *,
    after_nat: AfterNatMemo,
    chains: ChainMemo,
    sources: bool = True,
) -> PacketEnds | None:
    """All ends of a packet; None if they depend on a question that no dump answers.

    ``sources``: whether ends that differ in their rewritten source only are apart. Raises RulesError
    if a visited rule cannot be read.
    """
    own = [rules for rules in rulesets if rules.family == packet.family]
    if not all(rules.complete for rules in own):
        return None  # a packet may end in chains that a fragment lacks
    found = _Sum(sources)
    journey = Journey(host, own, Record(silent=True), chains.recall, _Beyond(after_nat, found))
    journey.begin(packet)
    for way in journey.ways:
        found.add(way, way.packet.dst, way.packet.dport, way.packet.dnat, way.weight)
    return found.ends()


def ends_of(evaluation: Evaluation, *, sources: bool = True) -> PacketEnds | None:
    """The ends of ways that are known."""
    found = _Sum(sources)
    for way in evaluation:
        if way.missing is not None:
            return None
        found.add(way, way.packet.dst, way.packet.dport, way.packet.dnat, way.weight)
    return found.ends()
