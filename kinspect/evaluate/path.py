"""A packet through hooks and tables in the kernel's order, with the routing between them.

Facts: netfilter's hooks and priorities (``netfilter.hooks``), ip_rcv_finish, ip_forward and
ip_local_out of the kernel. A nat table is asked by the first packet of a connection only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypeVar

from kinspect.errors import NotFound
from kinspect.evaluate.heads import Heads
from kinspect.evaluate.tails import Tails, as_if, behind
from kinspect.evaluate.walk import Branch, Ended, Record, Walk, merged
from kinspect.model.host import Host
from kinspect.model.odds import EVERYTHING, NEVER, NOTHING, Weight
from kinspect.model.packet import Address, CtState, Packet
from kinspect.model.rules import ChainName, Ruleset, TableName, Verdict
from kinspect.model.trace import Evaluation, Place, Routed, Step, Way
from kinspect.netfilter import hooks
from kinspect.netfilter.arrival import Refused, admitted, arrival, delivered, unfit
from kinspect.netfilter.bridging import called, stays
from kinspect.netfilter.departure import copied, departure
from kinspect.netfilter.hooks import Stage, Track
from kinspect.netfilter.routing import Hop
from kinspect.netfilter.unknowns import Fork

T = TypeVar("T", Hop, Refused, "Hop | Refused", "str | None")

_COPIED: Final = "what goes to {} from here comes to this host, too, as a copy that is not followed"

Tail: TypeAlias = Literal["came in", "goes elsewhere", "goes out"]
"""Where the choice of a destination is over: behind PREROUTING's nat, or behind OUTPUT's."""


@dataclass(frozen=True, slots=True)
class _Gone:
    """A branch that the host does not send on: no rule ended it, routing did."""

    branch: Branch
    verdict: Verdict
    why: str


@dataclass(slots=True)
class Journey:
    """One packet's way through one host."""

    host: Host
    rulesets: Sequence[Ruleset]
    record: Record
    tails: Tails | None = None
    heads: Heads | None = None
    ways: list[Way] = field(default_factory=list)

    def begin(self, packet: Packet) -> None:
        """From where the packet meets this host first."""
        start = Branch(packet, EVERYTHING)
        if packet.local:
            self.outgoing([start])
        else:
            self.incoming([start])

    def incoming(self, branches: Sequence[Branch]) -> None:
        """From the wire, or for the second time by lo."""
        arrived = []
        for branch in branches:
            why = unfit(branch.packet)
            if why is not None:
                self._end(_Gone(branch, Verdict.DROP, why))
                continue
            seen = self._past_iptables(_with(branch, branch.packet.to(oif="")))
            if seen is not None:
                arrived.append(seen)
        for branch in self._through(hooks.PREROUTING, arrived):
            self._shared("came in", branch)

    def _past_iptables(self, branch: Branch) -> Branch | None:
        """The part of a branch that meets rules, where the rest stays on a bridge that calls none."""
        needed = stays(branch.packet, self.host)
        if needed == [NEVER]:
            return branch
        seen = called(branch.packet, self.host)
        bridged, routed = branch.weight.split(needed)
        meets, passes = bridged.split([seen])
        if passes:
            unseen = _weighing(branch, passes)
            event = Routed("stays on its bridge, where no rules are asked")
            self._leave(_step(unseen, branch.packet.to(oif=branch.packet.iif), event))
        rest = meets + routed
        return _weighing(branch, rest) if rest else None

    def _arrived(self, branch: Branch) -> None:
        """Behind PREROUTING: to this host, or on by another interface, or to another port of a bridge."""
        packet = branch.packet
        found = arrival(packet, self.host)
        needed = stays(packet, self.host)
        bridged, routed = branch.weight.split(needed)
        if bridged and routed and isinstance(found, Hop) and _hop_kept(packet, found):
            bridged, routed = NOTHING, branch.weight  # it goes on as the same packet either way
        if bridged:
            self._bridged(_weighing(branch, bridged))
        if not routed:
            return
        for part, end in _parted(_weighing(branch, routed), found):
            if isinstance(end, Refused):
                self._refuse(part, end)
            elif delivered(end):
                self._deliver([part])
            else:
                self._forward(_leaving(part, end))

    def _bridged(self, branch: Branch) -> None:
        """On from one port to another, seen by iptables: nat may have led it back to its bridge."""
        packet = branch.packet
        onward = packet.to(oif=packet.iif)
        if not packet.dnat:
            self._forward(_with(branch, onward))
            return
        back = Hop("unicast", packet.iif)  # br_nf_pre_routing_finish routes it to see where it leads
        for part, why in _parted(branch, admitted(packet, back, self.host)):
            if why is None:
                self._forward(_with(part, onward))
            else:
                self._refuse(part, Refused(why))

    def _refuse(self, branch: Branch, refused: Refused) -> None:
        verdict = Verdict.REJECT if refused.answered else Verdict.DROP
        self._end(_Gone(branch, verdict, refused.why))

    def _shared(self, tail: Tail, branch: Branch) -> None:
        """Follow a branch to its ends, or take the known ways of one that goes the same."""
        ways = self._tail(tail, branch)
        if ways is None:
            self._follow(tail, branch)
            return
        for known in ways:
            way = as_if(known, branch.packet)
            weight = branch.weight.times(way.weight)
            last = behind(way.last, branch.last)
            self.ways.append(Way(way.verdict, way.packet, weight, last, way.snat, way.delivered))

    def _tail(self, tail: Tail, branch: Branch) -> Sequence[Way] | None:
        """The ways from here on, as if the branch were everything and came from nowhere, where known."""

        def walk() -> Sequence[Way]:
            # What is shared keeps its way, also where only ends are asked for now.
            record = Record() if self.record.ends_only else self.record
            journey = Journey(self.host, self.rulesets, record, self.tails)
            journey._follow(tail, Branch(branch.packet, EVERYTHING, None, branch.snat))
            return journey.ways

        return self.tails.follow(tail, branch.packet, walk) if self.tails else None

    def _follow(self, tail: Tail, branch: Branch) -> None:
        match tail:
            case "came in":
                self._arrived(branch)
            case "goes elsewhere":
                self._departed(self._sent(branch))
            case "goes out":
                self._departed([branch])

    def outgoing(self, branches: Sequence[Branch]) -> None:
        """From a process on the host."""
        branches = [_departing(sent) for branch in branches for sent in self._sent(branch)]
        branches = self._through(hooks.OUTPUT_RAW, branches)
        # Routed again behind mangle and nat (ip_route_me_harder), each for its own reason only: a
        # mark that raw, nat or filter sets does not make the kernel choose another route.
        branches = self._rerouted(hooks.OUTPUT_MANGLE, branches)
        for before in branches:
            for after in self._through(hooks.OUTPUT_NAT, [before]):
                for part in _apart(after, before.packet.dst):
                    if part.packet.dst != before.packet.dst:
                        self._shared("goes elsewhere", part)
                    else:
                        self._shared("goes out", part)

    def _departed(self, branches: Iterable[Branch]) -> None:
        """Behind OUTPUT's nat table, and routed again where that was needed."""
        departing = [_departing(sent) for sent in self._through(hooks.OUTPUT_FILTER, list(branches))]
        for sent in self._through(hooks.POSTROUTING, departing):
            if sent.packet.oif == "lo":
                again = sent.packet.to(iif="lo", local=False, looped=True)
                self.incoming([_step(sent, again, Routed("back to this host, by lo"))])
            else:
                self._leave(sent)

    def _rerouted(
        self,
        stages: Sequence[Stage],
        branches: Sequence[Branch],
    ) -> list[Branch]:
        """Through the tables, and routed again where they changed what routing asks for."""
        live: list[Branch] = []
        for before in branches:
            for after in self._through(stages, [before]):
                changed = _route_keys(after.packet) != _route_keys(before.packet)
                live.extend(self._sent(after) if changed else [after])
        return merged(live)

    def _sent(self, branch: Branch) -> Iterable[Branch]:
        """Routed, with the route still to be taken: all of OUTPUT sees the interface of the first one."""
        for routed, hop in _parted(branch, departure(branch.packet, self.host)):
            if isinstance(hop, Refused):
                self._refuse(routed, hop)
            elif hop.type in ("local", "anycast"):
                yield _with(routed, routed.packet.to(rerouted=("lo", None)))
            else:
                if copied(routed.packet, hop):
                    self.record.notes[_COPIED.format(routed.packet.dst)] = None
                yield _with(routed, routed.packet.to(rerouted=(hop.dev, hop.gateway)))

    def _deliver(self, branches: Sequence[Branch]) -> None:
        for branch in self._through(hooks.INPUT, branches):
            self.ways.append(
                Way(Verdict.ACCEPT, branch.packet, branch.weight, branch.last, branch.snat, delivered=True)
            )

    def _forward(self, branch: Branch) -> None:
        for forwarded in self._through(hooks.FORWARD, [branch]):
            for sent in self._through(hooks.POSTROUTING, [forwarded]):
                self._leave(sent)

    def _leave(self, branch: Branch) -> None:
        link = (self.host.links or {}).get(branch.packet.oif or "")
        if link is not None and link.carrier is False:
            self._end(_Gone(branch, Verdict.DROP, f"{link.name} has no carrier"))
            return
        self.ways.append(Way(Verdict.ACCEPT, branch.packet, branch.weight, branch.last, branch.snat))

    def _end(self, gone: _Gone) -> None:
        last = Step(Routed(gone.why, dropped=True), gone.branch.last)
        self.ways.append(Way(gone.verdict, gone.branch.packet, gone.branch.weight, last, gone.branch.snat))

    def _through(self, stages: Sequence[Stage | Track], branches: Sequence[Branch]) -> list[Branch]:
        """Through the tables of one hook; who dies there is added to the ways."""
        live = list(branches)
        for stage in stages:
            if not live:
                return []
            if isinstance(stage, Track):
                live = [_with(branch, _tracked(branch.packet)) for branch in live]
                continue
            rulesets = [rules for rules in self.rulesets if stage.asks(rules.backend)]
            live = self._nat(stage, live) if stage.binds else self._table(stage, live, rulesets)
        return live

    def _table(self, stage: Stage, branches: Sequence[Branch], rulesets: Sequence[Ruleset]) -> list[Branch]:
        """All back ends' rules of a table, one after the other: each must accept."""
        live = list(branches)
        for rules in rulesets:
            live = merged([ended.branch for ended in self._accepted(stage, live, rules)])
        return live

    def _accepted(self, stage: Stage, branches: Sequence[Branch], rules: Ruleset) -> list[Ended]:
        chain = rules.chain(stage.table, ChainName(stage.hook))
        if chain is None or not branches:
            return [Ended(branch, Verdict.ACCEPT) for branch in branches]
        walk = Walk(
            Place(stage.hook, stage.table, rules.source, rules.backend),
            rules,
            self.host,
            self.record,
            self.heads,
        )
        accepted = []
        for ended in walk.hook(chain, branches):
            if ended.verdict is Verdict.ACCEPT:
                accepted.append(ended)
            else:
                branch = ended.branch
                self.ways.append(Way(ended.verdict, branch.packet, branch.weight, branch.last, branch.snat))
        return accepted

    def _nat(self, stage: Stage, branches: Sequence[Branch]) -> list[Branch]:
        """A nat table: asked once a connection and side; afterwards that side is settled."""
        live: list[Branch] = []
        for branch in branches:
            packet = branch.packet
            settled = packet.src_bound if stage.binds == "src" else packet.dst_bound
            if packet.state is not CtState.NEW or settled:
                live.append(branch)
                continue
            for part, order in self._orders(stage, branch):
                live.extend(self._first_binding(stage, part, order))
        return merged(live)

    def _orders(self, stage: Stage, branch: Branch) -> list[tuple[Branch, Sequence[Ruleset]]]:
        """In which order two back ends' nat tables are asked: no dump tells, so both ways."""
        asked = [
            rules for rules in self.rulesets if rules.chain(stage.table, ChainName(stage.hook)) is not None
        ]
        if len(asked) < 2:
            return [(branch, asked)]
        first, second = asked[:2]
        question = order_question(first, second)
        orders: list[tuple[Branch, Sequence[Ruleset]]] = []
        for answer, order in ((True, [first, second]), (False, [second, first])):
            weight = branch.weight.given(question, answer)
            if weight:
                orders.append((_weighing(branch, weight), order))
        return orders

    def _first_binding(self, stage: Stage, branch: Branch, order: Sequence[Ruleset]) -> list[Branch]:
        """The first rules that set a binding end the asking; without one the address stays."""
        live, bound = [branch], []
        for rules in order:
            accepted = self._accepted(stage, live, rules)
            bound += [ended.branch for ended in accepted if ended.bound]
            live = [ended.branch for ended in accepted if not ended.bound]
        side = "src_bound" if stage.binds == "src" else "dst_bound"
        return [*bound, *(_with(rest, rest.packet.to(**{side: True})) for rest in live)]


def order_question(first: Ruleset, second: Ruleset) -> str:
    """What decides where two back ends' nat rules send a packet to different places."""
    return f"the nat rules of {first.source} are asked before those of {second.source}"


def _apart(branch: Branch, dst: Address) -> Iterable[Branch]:
    """A branch of which nat sends some to this address and some elsewhere, as two."""
    if not branch.fan:
        return [branch]
    every = [(branch.packet.dst, branch.packet.dport, branch.weight), *branch.fan]
    parts = []
    for group in ([to for to in every if to[0] == dst], [to for to in every if to[0] != dst]):
        if group:
            (first, port, weight), *rest = group
            packet = branch.packet.to(dst=first, dport=port)
            parts.append(Branch(packet, weight, branch.last, branch.snat, tuple(rest)))
    return parts


def _departing(branch: Branch) -> Branch:
    """By the interface that the last routing chose."""
    if branch.packet.rerouted is None:
        return branch
    oif, via = branch.packet.rerouted
    return _with(branch, branch.packet.to(oif=oif, via=via, rerouted=None))


def _route_keys(packet: Packet) -> tuple[object, ...]:
    """What mangle can change for the kernel to route again."""
    lifetime = packet.ttl if packet.family == 6 else None
    return packet.src, packet.dst, packet.mark, packet.mark_unknown, packet.tos, lifetime


def _with(branch: Branch, packet: Packet) -> Branch:
    return Branch(packet, branch.weight, branch.last, branch.snat)


def _weighing(branch: Branch, weight: Weight) -> Branch:
    return Branch(branch.packet, weight, branch.last, branch.snat)


def _step(branch: Branch, packet: Packet, event: Routed) -> Branch:
    return Branch(packet, branch.weight, Step(event, branch.last), branch.snat)


def _parted(branch: Branch, decision: T | Fork[T]) -> Iterator[tuple[Branch, T]]:
    """The branch, or a part of it for each way that the decision can go."""
    if not isinstance(decision, Fork):
        yield branch, decision
        return
    for answer, part in ((False, decision.usual), (True, decision.applies)):
        weight = branch.weight.given(decision.question, answer)
        if weight:
            yield from _parted(_weighing(branch, weight), part)


def _hop_kept(packet: Packet, hop: Hop) -> bool:
    """Whether routing does the same to a packet as a bridge would."""
    return packet.ttl is None and (hop.dev, hop.gateway) == (packet.iif, packet.via)


def _leaving(branch: Branch, hop: Hop) -> Branch:
    # ip_forward lowers the time to live before the hook.
    ttl = branch.packet.ttl
    left = None if ttl is None else ttl - 1
    return _with(branch, branch.packet.to(oif=hop.dev, via=hop.gateway, ttl=left))


def _tracked(packet: Packet) -> Packet:
    return packet if packet.state is CtState.UNTRACKED else packet.to(tracked=True)


def evaluate(
    packet: Packet,
    host: Host,
    rulesets: Sequence[Ruleset],
    *,
    explain: bool = False,
    tails: Tails | None = None,
    heads: Heads | None = None,
) -> Evaluation:
    """Every way that the packet can go through the host, with exact weights.

    With ``tails``, of the same host and rules, what is known of packets that go the same is taken
    from there, and left there: for many packets. ``hits`` then lack the rules so taken, and an
    event of a way may name another packet of its kind. ``heads`` are not asked, but learn from it.
    ``rulesets`` are those of the packet's family, one a back end. Raises RulesError where a
    visited rule cannot be read.
    """
    record = Record(explain)
    own = [rules for rules in rulesets if rules.family == packet.family]
    journey = Journey(host, own, record, tails, heads)
    journey.begin(packet)
    return Evaluation(
        packet=packet,
        ways=tuple(journey.ways),
        hits=record.hits,
        met=record.met,
        considered=tuple(record.considered),
        notes=tuple(record.notes),
    )


def evaluate_chain(
    packet: Packet, host: Host, rules: Ruleset, table: TableName, name: ChainName, *, explain: bool = False
) -> Evaluation:
    """The ways of a packet that begins at one chain, for a fragment of a dump.

    What comes back from the chain is said to be accepted as it is. Raises NotFound, RulesError.
    """
    chain = rules.chain(table, name)
    if chain is None:
        raise NotFound(f"{rules.source}: there is no chain {name} in table {table}")
    record = Record(explain)
    walk = Walk(Place("", table, rules.source, rules.backend), rules, host, record)
    tracked = Branch(_tracked(packet), EVERYTHING)
    ended, returned = walk.chain(chain, [tracked], 0)
    ways = [
        Way(end.verdict, end.branch.packet, end.branch.weight, end.branch.last, end.branch.snat)
        for end in ended
    ]
    ways += [Way(Verdict.ACCEPT, rest.packet, rest.weight, rest.last, rest.snat) for rest in returned]
    return Evaluation(
        packet=packet,
        ways=tuple(ways),
        hits=record.hits,
        met=record.met,
        considered=tuple(record.considered),
        notes=tuple(record.notes),
    )
