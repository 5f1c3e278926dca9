"""Packets that part in their destination only, and that nothing behind nat tells apart.

Behind the choice of an endpoint a host asks some dozen rules, and they are the same for most of its
endpoints: none looks at more of a destination than in which networks it is. Two destinations that
are in the same of all networks that these rules, the routes and the choice of a source ask for go
the same way, which is then walked once.

Where a rule asks more than that (a set, a range, a list of recent clients) nothing is shared.
A memo plugs into a journey as its ``beyond``. Of what it gives, ``hits`` lack the rules so taken, and
an event of a way may name another packet of its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_network
from typing import Final

import msgspec

from kinspect.evaluate.path import Journey, Point
from kinspect.evaluate.shortcuts.equivalence import Partition, reached, told_apart
from kinspect.evaluate.walk import Branch, Record
from kinspect.model.host import Host
from kinspect.model.odds import EVERYTHING
from kinspect.model.packet import Packet
from kinspect.model.questions import QuestionKind
from kinspect.model.rules import ChainName, Rule, Ruleset, Span
from kinspect.model.trace import Step, Way
from kinspect.netfilter.arrival import solicited

# What routing and the choice of a source address tell apart (scopes of RFC 4291, labels of RFC 6724,
# groups that every host is a member of).
_SPECIAL: Final = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/32", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "224.0.0.1/32", "255.255.255.255/32",
        "::1/128", "ff01::1/128", "ff02::1/128", "::ffff:0:0/96", "::/96", "2001:10::/28",
        "2001::/32", "2002::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip

# Kinds of questions that are the same question for every destination, if a rule says that it tells none
# apart. Those of routing may name the destination, and are not among them.
_OF_NO_DESTINATION: Final[frozenset[QuestionKind]] = frozenset(
    {
        "back-end-difference", "back-end-order", "clock", "connection", "conversation", "cpu", "mark",
        "packet-field", "payload", "program", "rate-limit", "recent-list", "sender", "unsupported-match",
        "unsupported-target",
    }
)  # fmt: skip


@dataclass
class AfterNatMemo:
    """The ways behind nat of one host that are known already."""

    host: Host
    rulesets: Sequence[Ruleset]
    _known: dict[object, Sequence[Way] | None] = field(default_factory=dict)
    _rests: dict[object, int] = field(default_factory=dict)
    _kinds: dict[int, tuple[Partition, Partition] | None] = field(default_factory=dict)

    def beyond(self, journey: Journey, point: Point, branch: Branch) -> None:
        """Take the ways of a branch that goes the same, or follow this one. A ``Beyond``."""
        # Where a question is open already, branches that part by a draw become one (``walk.merged``); walked
        # from a weight of everything they stay apart.
        ways = self.ways(journey, point, branch) if branch.weight.plain else None
        if ways is None:
            journey.follow(point, branch)
            return
        for known in ways:
            way = as_if(known, branch.packet)
            weight = branch.weight.times(way.weight)
            last = behind(way.last, branch.last)
            journey.ways.append(
                Way(way.verdict, way.packet, weight, last, way.snat, way.delivered, way.missing)
            )

    def ways(self, journey: Journey, point: Point, branch: Branch) -> Sequence[Way] | None:
        """The ways from here on, as if the branch were everything and came from nowhere, where known."""

        def walk() -> Sequence[Way]:
            # What is shared keeps its way, also where only ends are asked for now.
            record = Record() if journey.record.silent else journey.record
            inner = Journey(journey.host, journey.rulesets, record, beyond=self.beyond)
            inner.follow(point, Branch(branch.packet, EVERYTHING, None, branch.snat))
            return inner.ways

        return self.follow(point, branch.packet, walk)

    def follow(self, where: str, packet: Packet, walk: Callable[[], Sequence[Way]]) -> Sequence[Way] | None:
        """The ways of a packet from a point of its journey on; None: they cannot be shared.

        ``walk`` walks them, for a packet whose weight is everything and that has no way behind it.
        They may be those of another packet: ``as_if`` makes them this one's.
        """
        key = self.key(where, self.rest(packet), packet.dst.version, int(packet.dst), packet.dport)
        if key is None:
            return None
        if key not in self._known:
            self._known[key] = self._alike(walk(), packet)
        return self._known[key]

    def known(self, key: Hashable) -> Sequence[Way] | None:
        """The ways of packets with this key, where they were followed and can be shared."""
        return self._known.get(key)

    def rest(self, packet: Packet) -> int:
        """A number for all of a packet but its destination."""
        fields = msgspec.structs.astuple(
            # An address is slow to hash, a number is not.
            packet.replace(
                src=int(packet.src),
                dst=packet.original is None,
                dport=None,
                via=packet.via and int(packet.via),
                # A rule that asks for more of what the packet was than its source shares nothing.
                original=packet.original and int(packet.original.src),
            )
        )
        return self._rests.setdefault(fields, len(self._rests))

    def key(self, where: str, rest: int, version: int, dst: int, dport: int | None) -> Hashable | None:
        """What tells packets apart at a point of their journey; None: they cannot be told apart so.

        ``dst`` is the number of the address, of the family ``version``.
        """
        if version not in self._kinds:
            self._kinds[version] = self._told_apart(version)
        kinds = self._kinds[version]
        if kinds is None:
            return None
        addresses, ports = kinds
        return where, rest, version, addresses.of(dst), -1 if dport is None else ports.of(dport)

    @staticmethod
    def _alike(ways: Sequence[Way], packet: Packet) -> Sequence[Way] | None:
        """The ways, if no more of them depends on the destination than that it is kept."""
        to = (packet.dst, packet.dport)
        for way in ways:
            shared = all(question.kind in _OF_NO_DESTINATION for question in way.weight.questions())
            if not shared or (way.packet.dst, way.packet.dport) != to:
                return None
        return ways

    def _told_apart(self, version: int) -> tuple[Partition, Partition] | None:
        """The addresses and the ports that anything tells apart; None: rules ask for more than that."""
        told = told_apart(rule for rules in self.rulesets for rule in _behind_nat(rules))
        if told is None or told.destinations is None:
            return None
        ports = list(told.ports)
        for rule in self.host.rules.get(version, ()):
            ports += [span for span in (rule.dport, rule.sport) if span is not None]
        return Partition([*_of_host(self.host, version), *told.destinations]), Partition(ports)


def _of_host(host: Host, version: int) -> Iterator[Span]:
    """The networks that routing and the choice of a source ask for."""
    for network in _SPECIAL:
        if network.version == version:
            yield int(network.network_address), int(network.broadcast_address)
    for route in host.routes or ():
        if route.destination.version == version:
            yield int(route.destination.network_address), int(route.destination.broadcast_address)
    for rule in host.rules.get(version, ()):
        for side in (rule.dst, rule.src):  # its source: where the way back is looked up
            if side is not None:
                yield int(side.network_address), int(side.broadcast_address)
    own = set(host.addresses or ())
    for link in (host.links or {}).values():
        for held in link.addresses:
            own.add(held.address)
            if held.network.version == version:
                yield int(held.network.network_address), int(held.network.broadcast_address)
    for address in own:
        if address.version == version:
            if isinstance(address, IPv6Address):
                yield int(solicited(address)), int(solicited(address))
            # Of IPv6 it counts, too, how many bits a destination shares with it.
            for size in range(129 if version == 6 else 1):
                first = int(address) >> size << size
                yield first, first + (1 << size) - 1


def _behind_nat(rules: Ruleset) -> Iterator[Rule]:
    """All rules that a packet may meet once its destination is settled."""
    for table in rules.tables():
        hooks = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
        if table == "nat":
            hooks = ["INPUT", "POSTROUTING"]
        yield from reached(rules, table, [ChainName(hook) for hook in hooks])


def as_if(way: Way, packet: Packet) -> Way:
    """The way of a packet that parts from the one that went it in its destination only."""
    original = packet.original
    if original is None and way.packet.original is not None:  # nat changed it on this way, at first
        original = way.packet.original.replace(dst=packet.dst, dport=packet.dport)
    changed = way.packet.replace(dst=packet.dst, dport=packet.dport, original=original)
    return Way(way.verdict, changed, way.weight, way.last, way.snat, way.delivered, way.missing)


def behind(last: Step | None, before: Step | None) -> Step | None:
    """The events of a tail, after those of the way up to it."""
    for event in last.events() if last else ():
        before = Step(event, before)
    return before
