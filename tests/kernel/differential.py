"""One case in the kernel and in the evaluator: where their answers differ, in words."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Final

from kinspect.evaluate.path import evaluate
from kinspect.evaluate.shortcuts.after_nat import AfterNatMemo
from kinspect.evaluate.shortcuts.chains import ChainMemo
from kinspect.evaluate.shortcuts.outcomes_only import ends, ends_of
from kinspect.model.odds import NOTHING, Weight
from kinspect.model.packet import Family, Packet
from kinspect.model.rules import IptablesBackend, Verdict
from kinspect.model.trace import Evaluation, Event, Matched, Routed
from kinspect.parse.node.host import read_host
from kinspect.parse.rules.dump import Dump, read_dump
from kinspect.parse.user.ip_headers import packet_from_ip
from kinspect.snapshot.types import SYSCTL_PATTERN as SWITCHES_READ
from tests.kernel.case import HERE, SWITCHES, Case
from tests.kernel.netns import Node

_SIGMAS = 5
BACKENDS: Final[Mapping[str, IptablesBackend]] = {"legacy": "legacy", "nft": "nft"}
OTHER: Final = {"legacy": "nft", "nft": "legacy"}

End = tuple[object, ...]
"""Where a packet ended: lost, or the way out with what it then was."""

LOST: End = ("lost",)


@dataclass
class Bench:
    """A node, and what it counts over many cases."""

    node: Node
    sets: str = ""
    loaded: set[tuple[str, Family]] = field(default_factory=set)
    pairs: int = 0
    cases: int = 0
    open_answers: int = 0  # packets whose answer depends on a question
    questions: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)  # by what iptables said
    chains: ChainMemo = field(default_factory=ChainMemo)  # what the chains of all cases do

    @cached_property
    def files(self) -> Mapping[str, bytes]:
        """The node's addresses and routes, as they are where no case has added any."""
        return self.node.files()

    def clear(self) -> None:
        """Take away all rules."""
        while self.loaded:
            self.node.load("", *self.loaded.pop())

    def differences(self, case: Case) -> list[str]:
        """Empty where the kernel and the evaluator agree. Raises Refused for rules that iptables refuses."""
        routed = self.files  # before anything is added
        with self.node.added(case.setup):
            return self._differences(case, self.node.files() if case.setup else routed)

    def _differences(self, case: Case, routed: Mapping[str, bytes]) -> list[str]:
        sets = "".join(f"{line}\n" for line in case.sets)
        if sets != self.sets or self.loaded - {(case.backend, case.family)}:
            self.clear()
        if sets != self.sets:
            self.node.sets(sets)
            self.sets = sets
        switches = {**SWITCHES, **case.switches}
        self.node.switch(switches)
        backends = [case.backend] + [OTHER[case.backend]] * bool(case.other)
        for backend, rules_of in zip(backends, (case.rules, case.other), strict=False):
            self.loaded.add((backend, case.family))
            self.node.load("\n".join(rules_of), backend, case.family)
        numbered = [(number, probe) for number, probe in enumerate(case.probes) for _ in range(probe.times)]
        out = self.node.send([(probe.where, probe.wire(number)) for number, probe in numbered])
        saved = {backend: self.node.save(backend, case.family) for backend in sorted(backends)}
        observed: dict[int, Counter[End]] = {number: Counter() for number in range(len(case.probes))}
        for item in out:
            data = bytes.fromhex(item["data"])
            observed[int.from_bytes(data[-4:], "big")][_end(item, packet_from_ip(data))] += 1
        files = {
            **routed,
            "ipset-save.txt": self.node.run("ipset", "save").encode() if sets else b"",
            "sysctl.txt": self.node.run("sysctl", "-a", "-r", SWITCHES_READ).encode(),
        }
        host, _ = read_host("node", files)
        dumps = [
            read_dump(text.encode(), source=backend, family=case.family, backend=BACKENDS[backend])
            for backend, text in saved.items()
        ]
        found = [
            f"{text} is printed as {again}" for rules in dumps for text, again in printed_otherwise(rules)
        ]
        expected: dict[tuple[str, int], Expected] = {}
        after_nat = AfterNatMemo(host, dumps)
        for number, probe in enumerate(case.probes):
            packet = probe.packet()
            evaluation = evaluate(packet, host, dumps)  # the semantics alone: this meets the kernel
            found += [f"packet {number}: {why}" for why in self._shortcuts(evaluation, after_nat)]
            for (source, _, line), weight in evaluation.hits.items():
                expected.setdefault((source, line), Expected()).add(weight, probe.times)
            found += self._ends(f"packet {number}", evaluation, observed[number], probe.times)
            self.pairs += 1
        self.cases += 1
        for backend, saved_text in saved.items():
            for line, text in enumerate(saved_text.splitlines(), 1):
                counted = re.match(r"\[(\d+):\d+\] (-A .*)", text)
                wanted = expected.get((backend, line), Expected())
                if counted and not wanted.allows(int(counted[1])):
                    found.append(f"{counted[2]}: met {counted[1]} times, not {wanted}")
        return found

    def _shortcuts(self, alone: Evaluation, after_nat: AfterNatMemo) -> Iterator[str]:
        """Where the answer is another one with a shortcut than without."""
        packet, host, rules = alone.packet, after_nat.host, after_nat.rulesets
        learning = evaluate(packet, host, rules, enter=self.chains.learn)
        if not same_ways(alone, learning) or learning.hits != alone.hits:
            yield "it goes another way where chains are learned"
        if not same_ways(alone, evaluate(packet, host, rules, beyond=after_nat.beyond)):
            yield "among many it goes another way"
        if ends(packet, host, rules, after_nat=after_nat, chains=self.chains) != ends_of(alone):
            yield "its ends are others where chains are known already"

    def _ends(self, name: str, evaluation: Evaluation, observed: Counter[End], times: int) -> list[str]:
        """The ends of one packet, sent so many times."""
        weights: dict[End, Weight] = {}
        for way in evaluation.ways:
            arrives = way.verdict is Verdict.ACCEPT
            end = _expected_end(way.packet, way.delivered) if arrives else LOST
            weights[end] = weights.get(end, NOTHING) + way.weight
        open_questions = {q.text for weight in weights.values() for q in weight.questions()}
        self.open_answers += bool(open_questions)
        self.questions.update(open_questions)
        observed = observed.copy()
        observed[LOST] += times - observed.total()
        found = []
        for seen, wanted in _groups(observed, weights):
            count = sum(observed[end] for end in seen)
            allowed = Expected()
            allowed.add(sum((weights[end] for end in wanted), NOTHING), times)
            if not allowed.allows(count):
                shown = "; ".join(f"{_words(end)} {weight.bounds()[0]}" for end, weight in weights.items())
                what = " or ".join(map(_words, seen or wanted))
                found.append(f"{name}: {what} {count} times of {times}, expected: {shown}")
        return found


def printed_otherwise(rules: Dump) -> list[tuple[str, str]]:
    """Rules that are not printed as iptables-save printed them."""
    chains = (rules.chain(table, name) for table in rules.tables() for name in rules.chains(table))
    every = [rule for chain in chains if chain is not None for rule in chain.rules()]
    return [(rule.text, rule.printed()) for rule in every if rule.printed() != rule.text]


def same_ways(one: Evaluation, other: Evaluation) -> bool:
    """Whether two evaluations come to the same ends, by the same rules, with the same weights."""

    def told(evaluation: Evaluation) -> list[object]:
        found: list[object] = []
        for way in evaluation:
            events = [_told(event) for event in way.events()]
            found.append((way.verdict, way.packet, way.weight, events, way.snat, way.delivered))
        return found

    return told(one) == told(other)


def _told(event: Event) -> object:
    """An event, but for words: those of a routing decision may name another packet of its kind."""
    match event:
        case Matched(rule=rule):
            return rule.line
        case Routed(dropped=dropped):
            return dropped
        case _:
            return event


def _groups(observed: Iterable[End], wanted: Iterable[End]) -> list[tuple[list[End], list[End]]]:
    """Which ends seen are which expected: several where an unknown port may be any of them."""
    groups: list[tuple[list[End], list[End]]] = [([], [end]) for end in wanted]
    for seen in observed:
        joined = [group for group in groups if any(_same(seen, end) for end in group[1])]
        groups = [group for group in groups if group not in joined]
        groups.append(
            (
                [seen, *(end for group in joined for end in group[0])],
                [end for group in joined for end in group[1]],
            )
        )
    return groups


@dataclass
class Expected:
    """How often something is to happen."""

    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    variance: float = 0.0

    def add(self, weight: Weight, times: int) -> None:
        """So many independent packets, each of which has this share."""
        low, high = (weight.exact, weight.exact) if weight.exact is not None else weight.counts()
        self.low += low * times
        self.high += high * times
        if times > 1:
            # A rule may be met several times by a packet, by several jumps or by lo. Of 0 … most the
            # variance is below mean * (most - mean).
            for mean in (float(low), float(high)):
                self.variance += times * mean * (math.ceil(mean) + 1 - mean) / 2

    def allows(self, count: int) -> bool:
        slack = _SIGMAS * math.sqrt(self.variance)
        return float(self.low) - slack <= count <= float(self.high) + slack

    def __str__(self) -> str:
        span = str(self.low) if self.low == self.high else f"{self.low} to {self.high}"
        return f"{span} ± {_SIGMAS * math.sqrt(self.variance):.1f}" if self.variance else span


def _end(item: Mapping[str, object], packet: Packet) -> End:
    delivered = item["way"] == "delivered"
    dev = None if delivered else item["out"]
    return (delivered, packet.src, packet.sport, packet.dst, packet.dport, dev, item["mark"])


def _expected_end(packet: Packet, delivered: bool) -> End:
    dev = None if delivered else packet.oif
    return (delivered, packet.src, packet.sport, packet.dst, packet.dport, dev, packet.mark)


def _same(seen: End, wanted: End) -> bool:
    """Whether an end is the one expected; a port that cannot be known may be any."""
    if len(seen) != len(wanted):
        return False
    return all(
        one == other or (place in (2, 4) and other is None)
        for place, (one, other) in enumerate(zip(seen, wanted, strict=True))
    )


def _words(end: End) -> str:
    if end == LOST:
        return "lost"
    delivered, src, sport, dst, dport, dev, mark = end
    return f"{'delivered' if delivered else f'sent by {dev}'} {src} {sport} -> {dst} {dport} mark {mark:#x}"


__all__ = ["HERE", "Bench"]
