"""What a chain does to a packet, known for all hosts on which its text is the same.

kube-proxy writes a service's chains the same on every node. What such a chain, and all that it
leads to, does to a packet depends only on its text and the packet, unless a rule in it depends on
the host; packets that its rules do not distinguish are treated the same. So it is
walked once, for one of them, and not again on the next node. Chains with rules that count, depend
on the host or have an unknown extension are not shared: see ``equivalence``.

A memo plugs into a walk as its ``enter``: ``learn`` walks each chain and remembers what it did,
``recall`` gives what is remembered. The rules on the way are not kept, so ``recall`` is only for
a packet's ends, not for its explanation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, cast
from weakref import WeakKeyDictionary

import msgspec

from kinspect.evaluate.shortcuts.equivalence import Partition, reached, told_apart
from kinspect.evaluate.walk import Branch, Ended, Left, Walk
from kinspect.model.odds import EVERYTHING, Weight
from kinspect.model.packet import Address, Packet
from kinspect.model.rules import Chain, ChainName, Closure, Ruleset, TableName, Verdict

_MOST: Final = 1024  # rules in a chain and all that it leads to: beyond, it is a large part of a table

_CANDIDATES: Final = 8  # texts of one chain that are kept: nodes differ in few ways

NatAlternatives: TypeAlias = tuple[tuple[Address, int | None, Weight], ...]
"""Destinations with their ports, and the weights that go there."""


class Bundle(Branch, frozen=True):
    """A branch that a nat rule bound, and others that go from here as it does, to other destinations.

    The kernel knows nothing of the others: a step that makes another branch of it loses them.
    Between the binding and ``Journey.beyond`` there is no such step, so code that opens a bundle
    has to check that the shares of all packets are still there (``outcomes_only`` does).
    """

    others: NatAlternatives = ()


class _Result(msgspec.Struct, frozen=True):
    """How a part of any packet of a class leaves: its changes."""

    changes: dict[str, object]  # of the packet's fields
    original: dict[str, object] | None  # the same for the packet before nat, if nat changed it
    weight: Weight
    verdict: Verdict | None
    bound: bool
    others: NatAlternatives = ()  # where nat sends others that leave the same way


@dataclass(slots=True)
class _Known:
    """One text, and what it did to packets so far."""

    sources: Partition
    destinations: Partition
    results: dict[object, Sequence[_Result] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PacketClass:
    """Packets that a chain treats the same."""

    _results: dict[object, Sequence[_Result] | None]
    _key: object

    @property
    def known(self) -> bool:
        """Whether one of them was walked."""
        return self._key in self._results

    def learn(self, packet: Packet, left: Left) -> None:
        """The result for one of them, with weight 1."""
        self._results[self._key] = _learned(packet, left)

    def apply(self, branch: Branch) -> Left | None:
        """The result for a branch of another one, without its way; None: it must be walked."""
        results = self._results[self._key]
        if results is None:
            return None
        ended: list[Ended] = []
        returned: list[Branch] = []
        for result in results:
            part = _as_if(result, branch)
            if result.verdict is None:
                returned.append(part)
            else:
                ended.append(Ended(part, result.verdict, result.bound))
        return ended, returned


@dataclass
class ChainMemo:
    """What chains do, on all hosts that share it."""

    _by_name: dict[object, list[tuple[Closure, _Known | None]]] = field(default_factory=dict)
    _large: set[object] = field(default_factory=set)
    _by_chain: WeakKeyDictionary[Ruleset, dict[tuple[str, str], _Known | None]] = field(
        default_factory=WeakKeyDictionary
    )

    def recall(self, walk: Walk, chain: Chain, branch: Branch, depth: int) -> Left:
        """How a branch leaves a chain, walked only if that is not known. An ``Enterer`` of silent walks."""
        packet = branch.packet
        kind = self.kind(walk.rules, walk.place.table, chain.name, packet)
        if kind is None:
            return walk.chain(chain, [branch], depth)
        if not kind.known:
            kind.learn(packet, _inner(walk).chain(chain, [Branch(packet, EVERYTHING)], depth))
        left = kind.apply(branch)
        return walk.chain(chain, [branch], depth) if left is None else left

    def learn(self, walk: Walk, chain: Chain, branch: Branch, depth: int) -> Left:
        """Walk a chain, and remember what it does to such packets. An ``Enterer``."""
        if branch.weight.sole != 1:
            return walk.chain(chain, [branch], depth)
        kind = self.kind(walk.rules, walk.place.table, chain.name, branch.packet)
        if kind is None or kind.known:
            return walk.chain(chain, [branch], depth)
        left = _inner(walk).chain(chain, [branch], depth)
        kind.learn(branch.packet, left)
        return left

    def kind(self, rules: Ruleset, table: TableName, name: ChainName, packet: Packet) -> PacketClass | None:
        """The class of a packet for a chain; None: one that it shares with no other."""
        if packet.original is not None or not rules.complete:
            return None
        chains = self._by_chain.setdefault(rules, {})
        if (table, name) not in chains:
            chains[table, name] = self._known(rules, table, name)
        known = chains[table, name]
        if known is None:
            return None
        key = (
            known.sources.of(int(packet.src)),
            known.destinations.of(int(packet.dst)),
            msgspec.structs.astuple(packet.replace(src=None, dst=None)),
        )
        return PacketClass(known.results, key)

    def _known(self, rules: Ruleset, table: TableName, name: ChainName) -> _Known | None:
        about = (rules.family, rules.complete, table, name)
        if about in self._large:
            return None
        candidates = self._by_name.setdefault(about, [])
        for read, known in candidates:
            if rules.has(table, read):
                return known
        closure = rules.closure(table, name, _MOST)
        if closure is None:
            self._large.add(about)  # and probably elsewhere, too
            return None
        known = _cut(rules, table, name)
        candidates.append((closure, known))
        del candidates[:-_CANDIDATES]
        return known


def _inner(walk: Walk) -> Walk:
    """The walk of what a chain leads to: a part of it that is not remembered separately."""
    return Walk(walk.place, walk.rules, walk.host, walk.record)


def _cut(rules: Ruleset, table: TableName, name: ChainName) -> _Known | None:
    """What the rules of a chain, and of those that it leads to, distinguish; None: they depend on more."""
    told = told_apart(reached(rules, table, [name]))
    if told is None or told.of_host or told.sources is None or told.destinations is None:
        return None
    return _Known(Partition(told.sources), Partition(told.destinations))


def _learned(packet: Packet, left: Left) -> Sequence[_Result] | None:
    """The changes to the packet's fields; None if some depend on unknown facts."""
    ended, returned = left
    exits: list[tuple[Branch, Verdict | None, bool]] = [(e.branch, e.verdict, e.bound) for e in ended]
    exits += [(branch, None, False) for branch in returned]
    found = []
    for branch, verdict, bound in exits:
        if not branch.weight.plain or branch.packet.src != packet.src:
            return None
        fields = _changes(packet, branch.packet)
        original = branch.packet.original
        if original is not None:  # nat changed it here, for the first time; perhaps to the same value
            fields.update(dst=branch.packet.dst, dport=branch.packet.dport)
        before = None if original is None else _changes(packet, original)
        found.append(_Result(fields, before, branch.weight, verdict, bound))
    return _bundled(found)


def _bundled(results: Sequence[_Result]) -> Sequence[_Result]:
    """Joins branches that nat sends to different places and that are otherwise the same."""
    found: list[_Result] = []
    for result in results:
        same = next(
            (i for i, other in enumerate(found) if result.bound and _leave_equally(result, other)), None
        )
        if same is None:
            found.append(result)
            continue
        other, to = found[same], result.changes
        place = (cast("Address", to["dst"]), cast("int | None", to["dport"]), result.weight)
        found[same] = msgspec.structs.replace(other, others=(*other.others, place))
    return found


def _leave_equally(one: _Result, other: _Result) -> bool:
    if (one.verdict, one.bound, one.original) != (other.verdict, other.bound, other.original):
        return False
    placed = ("dst", "dport")
    return (
        one.changes.keys() == other.changes.keys()
        and set(placed) <= one.changes.keys()
        and all(value == other.changes[name] for name, value in one.changes.items() if name not in placed)
    )


def _changes(before: Packet, after: Packet) -> dict[str, object]:
    pairs = zip(msgspec.structs.astuple(before), msgspec.structs.astuple(after), strict=True)
    return {
        name: new
        for name, (old, new) in zip(Packet.__struct_fields__, pairs, strict=True)
        if old is not new and old != new and name != "original"
    }


def _as_if(result: _Result, branch: Branch) -> Branch:
    """The branch of a packet of the same class with the result applied, without its way."""
    packet, changes = branch.packet, result.changes
    if result.original is not None:
        changes = {**changes, "original": packet.replace(**result.original) if result.original else packet}
    changed = packet.replace(**changes) if changes else packet
    weight = branch.weight.times(result.weight)
    if not result.others:
        return Branch(changed, weight, None, branch.snat)
    others = result.others
    if branch.weight is not EVERYTHING:
        others = tuple([(dst, port, branch.weight.times(share)) for dst, port, share in others])
    return Bundle(changed, weight, None, branch.snat, others)
