"""What a chain does to a packet, known for all hosts on which it reads the same.

kube-proxy writes a service's chains alike on every node. What such a chain, and all that it leads
to, does to a packet is a matter of its text, of the packet, and of nothing else, as long as no rule
in it asks about the host; packets that its rules do not tell apart are treated alike. So it is
walked once, for one of them, and not again on the next node. What no rule may look at (a rule that
counts, asks the host or has an unknown extension) is not shared: ``equivalence`` tells which.

A memo plugs into a walk as its ``enter``: ``learn`` walks each chain and remembers what it did,
``recall`` gives what is remembered. Which rules were met on the way is not kept, so ``recall`` is
for a packet's ends only, not for its explanation.
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

_MOST: Final = 1024  # rules in a chain and all that it leads to: beyond, it is no small part of a table

_CANDIDATES: Final = 8  # texts of one chain that are kept: nodes that differ do so in a few ways

NatAlternatives: TypeAlias = tuple[tuple[Address, int | None, Weight], ...]
"""Destinations with their ports, and the weights that go there."""


class Bundle(Branch, frozen=True):
    """A branch that a nat rule bound, and others that go from here as it does, to other destinations.

    The kernel knows nothing of the others: a step that makes another branch of it loses them.
    Between the binding and ``Journey.beyond`` there is no such step, but who opens a bundle has to
    check that the shares of all packets are still there (``outcomes_only`` does).
    """

    others: NatAlternatives = ()


class _Result(msgspec.Struct, frozen=True):
    """How a part of any packet of a kind leaves: what of it changes."""

    changes: dict[str, object]  # of the packet's fields
    original: dict[str, object] | None  # the same of what it was before nat changed it, where that did
    weight: Weight
    verdict: Verdict | None
    bound: bool
    others: NatAlternatives = ()  # where nat sends others that leave just like these


@dataclass(slots=True)
class _Known:
    """One text, and what it did to packets so far."""

    sources: Partition
    destinations: Partition
    results: dict[object, Sequence[_Result] | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PacketClass:
    """Packets that a chain does the same to."""

    _results: dict[object, Sequence[_Result] | None]
    _key: object

    @property
    def known(self) -> bool:
        """Whether one of them was walked."""
        return self._key in self._results

    def learn(self, packet: Packet, left: Left) -> None:
        """What became of one of them, its weight everything."""
        self._results[self._key] = _learned(packet, left)

    def apply(self, branch: Branch) -> Left | None:
        """What becomes of a branch of another one, but for its way; None: it must be walked."""
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
        """The kind of packet that it is to a chain; None: none that another could be of."""
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
            self._large.add(about)  # and so it is elsewhere, more or less
            return None
        known = _cut(rules, table, name)
        candidates.append((closure, known))
        del candidates[:-_CANDIDATES]
        return known


def _inner(walk: Walk) -> Walk:
    """The walk of what a chain leads to: that is a part of it, and not worth remembering for itself."""
    return Walk(walk.place, walk.rules, walk.host, walk.record)


def _cut(rules: Ruleset, table: TableName, name: ChainName) -> _Known | None:
    """What the rules of a chain, and of those that it leads to, tell apart; None: they ask for more."""
    told = told_apart(reached(rules, table, [name]))
    if told is None or told.of_host or told.sources is None or told.destinations is None:
        return None
    return _Known(Partition(told.sources), Partition(told.destinations))


def _learned(packet: Packet, left: Left) -> Sequence[_Result] | None:
    """What becomes of the packet's fields; None where a part of it hangs on what is not known."""
    ended, returned = left
    exits: list[tuple[Branch, Verdict | None, bool]] = [(e.branch, e.verdict, e.bound) for e in ended]
    exits += [(branch, None, False) for branch in returned]
    found = []
    for branch, verdict, bound in exits:
        if not branch.weight.plain or branch.packet.src != packet.src:
            return None
        fields = _changes(packet, branch.packet)
        original = branch.packet.original
        if original is not None:  # nat changed it here, for the first time; perhaps to what it was
            fields.update(dst=branch.packet.dst, dport=branch.packet.dport)
        before = None if original is None else _changes(packet, original)
        found.append(_Result(fields, before, branch.weight, verdict, bound))
    return _bundled(found)


def _bundled(results: Sequence[_Result]) -> Sequence[_Result]:
    """Those that nat sends to different places, and that are the same otherwise, as one."""
    found: list[_Result] = []
    for result in results:
        same = next((i for i, other in enumerate(found) if result.bound and _alike(result, other)), None)
        if same is None:
            found.append(result)
            continue
        other, to = found[same], result.changes
        place = (cast("Address", to["dst"]), cast("int | None", to["dport"]), result.weight)
        found[same] = msgspec.structs.replace(other, others=(*other.others, place))
    return found


def _alike(one: _Result, other: _Result) -> bool:
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
    """The branch of a packet of the same class, as the result says, but for its way."""
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
