"""A packet through hooks and tables in the kernel's order, with the routing between them.

Facts: netfilter's hooks and priorities (``netfilter.hooks``), ip_rcv_finish, ip_forward and
ip_local_out of the kernel. Only the first packet of a connection passes a nat table.

This is what a path means, and nothing else: a shortcut that knows where packets go after nat plugs
in as ``Journey.beyond`` (see ``evaluate.shortcuts``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from kinspect.errors import NotFound
from kinspect.evaluate.walk import Branch, Ended, Enterer, Record, Walk, merged
from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, EVERYTHING, NEVER, NOTHING, Odds, Weight, undecided
from kinspect.model.packet import CtState, Packet
from kinspect.model.questions import Input, Question
from kinspect.model.rules import UNKNOWN_SOURCE, ChainName, Lacking, Ruleset, TableName, Verdict
from kinspect.model.trace import CONNECTION, Evaluation, Place, Routed, Step, Way
from kinspect.netfilter import hooks
from kinspect.netfilter.arrival import Refused, admitted, arrival, delivered, unfit
from kinspect.netfilter.bridging import called, stays
from kinspect.netfilter.departure import copied, departure
from kinspect.netfilter.hooks import Defragment, Stage, Track
from kinspect.netfilter.routing import Hop
from kinspect.netfilter.tracking import tracks, translates
from kinspect.netfilter.unknowns import Fork

T = TypeVar("T", Hop, Refused, "Hop | Refused", "str | None")

_COPIED: Final = "what goes to {} from here comes to this host, too, as a copy that is not followed"
_NAT = TableName("nat")
_NAT_HOOKS = ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")

Point: TypeAlias = Literal["came in", "goes elsewhere", "goes out"]
"""The point after the choice of a destination: after PREROUTING's nat, or after OUTPUT's."""

Beyond: TypeAlias = Callable[["Journey", Point, Branch], None]
"""Follows a branch after nat, instead of ``Journey.follow``, to the same ends."""


@dataclass(frozen=True, slots=True)
class _Gone:
    """A branch that routing ends: the host does not send it on."""

    branch: Branch
    verdict: Verdict
    why: str


@dataclass(slots=True)
class Journey:
    """One packet's way through one host."""

    host: Host
    rulesets: Sequence[Ruleset]
    record: Record
    enter: Enterer | None = None  # None: every chain is walked
    beyond: Beyond | None = None  # None: every branch is followed
    ways: list[Way] = field(default_factory=list)

    def begin(self, packet: Packet) -> None:
        """From where the packet matches this host first."""
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
            seen = self._past_iptables(_with(branch, branch.packet.replace(oif="")))
            if seen is not None:
                arrived.append(seen)
        for branch in self._through(hooks.PREROUTING, arrived):
            self._on("came in", branch)

    def _past_iptables(self, branch: Branch) -> Branch | None:
        """The part of a branch that meets rules, if the rest stays on a bridge that calls none."""
        needed = stays(branch.packet, self.host)
        if needed == [NEVER]:
            return branch
        seen = called(branch.packet, self.host)
        bridged, routed = branch.weight.split(needed)
        meets, passes = bridged.split([seen])
        if passes:
            unseen = _weighing(branch, passes)
            event = Routed("stays on its bridge, where no rules are asked")
            self._leave(_step(unseen, branch.packet.replace(oif=branch.packet.iif), event))
        rest = meets + routed
        return _weighing(branch, rest) if rest else None

    def _arrived(self, branch: Branch) -> None:
        """After PREROUTING: to this host, or on by another interface, or to another port of a bridge."""
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
        onward = packet.replace(oif=packet.iif)
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

    def _on(self, point: Point, branch: Branch) -> None:
        """From after nat to its ends."""
        if self.beyond is None:
            self.follow(point, branch)
        else:
            self.beyond(self, point, branch)

    def follow(self, point: Point, branch: Branch) -> None:
        """Follow a branch after nat to its ends, which are added to the ways."""
        match point:
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
        # Routed again after mangle and nat (ip_route_me_harder), each for its own reason only: a
        # mark that raw, nat or filter sets does not make the kernel choose another route.
        branches = self._rerouted(hooks.OUTPUT_MANGLE, branches)
        for before in branches:
            for after in self._through(hooks.OUTPUT_NAT, [before]):
                if after.packet.dst != before.packet.dst:
                    self._on("goes elsewhere", after)
                else:
                    self._on("goes out", after)

    def _departed(self, branches: Iterable[Branch]) -> None:
        """After OUTPUT's nat table, and routed again if that was needed."""
        departing = [_departing(sent) for sent in self._through(hooks.OUTPUT_FILTER, list(branches))]
        for sent in self._through(hooks.POSTROUTING, departing):
            if sent.packet.oif == "lo":
                again = sent.packet.replace(iif="lo", local=False, looped=True)
                self.incoming([_step(sent, again, Routed("back to this host, by lo"))])
            else:
                self._leave(sent)

    def _rerouted(
        self,
        stages: Sequence[Stage],
        branches: Sequence[Branch],
    ) -> list[Branch]:
        """Through the tables, and routed again if they changed what routing depends on."""
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
                yield _with(routed, routed.packet.replace(rerouted=("lo", None)))
            else:
                if copied(routed.packet, hop):
                    self.record.notes[_COPIED.format(routed.packet.dst)] = None
                yield _with(routed, routed.packet.replace(rerouted=(hop.dev, hop.gateway)))

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

    def _through(
        self, stages: Sequence[Stage | Track | Defragment], branches: Sequence[Branch]
    ) -> list[Branch]:
        """Through the tables of one hook; branches that end there are added to the ways."""
        live = list(branches)
        for stage in stages:
            if not live:
                return []
            match stage:
                case Defragment():
                    live = self._whole(live)
                case Track():
                    live = self._tracked(live)
                case _:
                    live = self._nat(stage, live) if stage.binds else self._table(stage, live)
        return live

    def _whole(self, branches: Sequence[Branch]) -> list[Branch]:
        """Without the fragments that connection tracking holds back."""
        live = []
        for branch in branches:
            held, passing = NOTHING, branch.weight
            if branch.packet.fragment or branch.packet.more_fragments:
                held, passing = branch.weight.split([self._tracking()])
            if held:
                why = "connection tracking holds a fragment back until all have come: trace the whole packet"
                self._end(_Gone(_weighing(branch, held), Verdict.DROP, why))
            if passing:
                live.append(_weighing(branch, passing))
        return live

    def _tracked(self, branches: Sequence[Branch]) -> list[Branch]:
        """Seen by connection tracking; if that may be off, perhaps not, and then nat is skipped."""
        branches = [known for branch in branches for known in self._of_connection(branch)]
        if not any(self._holds_rules(rules, _NAT, hook) for rules in self.rulesets for hook in _NAT_HOOKS):
            return [_with(branch, _seen(branch.packet)) for branch in branches]
        live = []
        for branch in branches:
            on, off = branch.weight.split([self._tracking()])
            if on:
                live.append(_with(_weighing(branch, on), _seen(branch.packet)))
            if off:
                packet = _seen(branch.packet.replace(untracked=True, template=False))
                live.append(_with(_weighing(branch, off), packet))
        return live

    def _of_connection(self, branch: Branch) -> Iterator[Branch]:
        """An established packet with its connection's translation; perhaps unchanged if that is not known."""
        packet = branch.packet
        if packet.tracked or packet.untracked or packet.state not in (CtState.ESTABLISHED, CtState.RELATED):
            yield branch
        elif (known := packet.translation) is not None:
            with_connection = packet.replace(
                reply=known.reply, dnat=known.dnat, snat=known.snat, ct_mark=known.mark, ct_mark_unknown=0
            )
            yield _with(branch, with_connection)
        elif not any(translates(rules) for rules in self.rulesets):
            yield branch
        else:
            question = Question(
                "connection",
                f"connection tracking rewrites this packet, from {packet.src} to {packet.dst}",
                (Input("connections"),),
            )
            rewritten, kept = branch.weight.given(question, True), branch.weight.given(question, False)
            if rewritten:
                last = Step(
                    Routed("where its connection goes, which only connection tracking knows"), branch.last
                )
                self.ways.append(Way(Verdict.ACCEPT, packet, rewritten, last, missing=CONNECTION))
            if kept:
                yield _weighing(branch, kept)

    def _tracking(self) -> Odds:
        """Whether connection tracking is on: a rule that needs it turns it on, wherever it is."""
        counted = self.host.sysctl("net.netfilter.nf_conntrack_count")  # of this host's connections
        if counted not in (None, "0") or any(not rules.complete or tracks(rules) for rules in self.rulesets):
            return ALWAYS
        return undecided("connection", "connection tracking is on: something besides these rules needs it")

    @staticmethod
    def _holds_rules(rules: Ruleset, table: TableName, hook: str) -> bool:
        chain = rules.chain(table, ChainName(hook))
        return chain is not None and not chain.empty

    def _table(self, stage: Stage, branches: Sequence[Branch]) -> list[Branch]:
        """All back ends' rules of a table, one after the other: each must accept."""
        rulesets = [rules for rules in self.rulesets if stage.asks(rules.backend)]
        if stage.table == hooks.SECURITY or any(self._idle(stage, rules) for rules in rulesets):
            return self._in_order(stage, branches, rulesets)  # whose order is known, or makes no difference
        live = []
        for branch in branches:
            for part, order in _orders(stage, branch, rulesets):
                live += self._in_order(stage, [part], order)
        return merged(live)

    def _idle(self, stage: Stage, rules: Ruleset) -> bool:
        """Whether a back end's rules do nothing at a stage."""
        if rules.lacking(stage.table, ChainName(stage.hook)) is not None:
            return False
        chain = rules.chain(stage.table, ChainName(stage.hook))
        return chain is None or (chain.empty and chain.policy in (None, Verdict.ACCEPT))

    def _in_order(
        self, stage: Stage, branches: Sequence[Branch], rulesets: Sequence[Ruleset]
    ) -> list[Branch]:
        live = list(branches)
        for rules in rulesets:
            live = merged([ended.branch for ended in self._accepted(stage, live, rules)])
        return live

    def _accepted(self, stage: Stage, branches: Sequence[Branch], rules: Ruleset) -> list[Ended]:
        lacking = rules.lacking(stage.table, ChainName(stage.hook))
        if lacking is not None:
            branches = self._unless_rewritten(lacking, stage, branches)
        chain = rules.chain(stage.table, ChainName(stage.hook))
        if chain is None or not branches:
            return [Ended(branch, Verdict.ACCEPT) for branch in branches]
        walk = Walk(
            Place(stage.hook, stage.table, rules.source, rules.backend),
            rules,
            self.host,
            self.record,
            self.enter,
        )
        accepted = []
        for ended in walk.hook(chain, branches):
            if ended.verdict is Verdict.ACCEPT and ended.missing is None:
                accepted.append(ended)
            else:
                self.ways.append(_ending(ended))
        return accepted

    def _unless_rewritten(
        self, lacking: Lacking, stage: Stage, branches: Sequence[Branch]
    ) -> Sequence[Branch]:
        """As ``past``; when nat binds sources, only the source of a packet changes."""
        if stage.binds != "src":
            return self.past(lacking, branches)
        self.record.lacking[lacking] = None
        return [Branch(b.packet, b.weight, b.last, b.snat or UNKNOWN_SOURCE) for b in branches]

    def past(self, lacking: Lacking, branches: Sequence[Branch]) -> list[Branch]:
        """The part that passes rules that the text lacks; what else they may do is not known."""
        self.record.lacking[lacking] = None
        passing = []
        for branch in branches:
            stays = branch.weight.given(lacking.question, True)
            leaves = branch.weight.given(lacking.question, False)
            if stays:
                passing.append(_weighing(branch, stays))
            if leaves:
                gone = Ended(_weighing(branch, leaves), Verdict.ACCEPT, missing=lacking.what)
                self.ways.append(_ending(gone))
        return passing

    def _nat(self, stage: Stage, branches: Sequence[Branch]) -> list[Branch]:
        """A nat table: consulted once per connection and side; afterwards that side is settled."""
        live: list[Branch] = []
        for branch in branches:
            packet = branch.packet
            settled = packet.src_bound if stage.binds == "src" else packet.dst_bound
            if packet.translation is not None and packet.tracked:
                live.append(_with(branch, _translated(packet, stage)))
                continue
            if packet.state is not CtState.NEW or settled:
                live.append(branch)
                continue
            asked = [rules for rules in self.rulesets if not self._idle(stage, rules)]
            for part, order in _orders(stage, branch, asked):
                live.extend(self._first_binding(stage, part, order))
        return merged(live)

    def _first_binding(self, stage: Stage, branch: Branch, order: Sequence[Ruleset]) -> list[Branch]:
        """The first rule that sets a binding ends the walk; without one the address stays."""
        live, bound = [branch], []
        for rules in order:
            accepted = self._accepted(stage, live, rules)
            bound += [ended.branch for ended in accepted if ended.bound]
            live = [ended.branch for ended in accepted if not ended.bound]
        side = "src_bound" if stage.binds == "src" else "dst_bound"
        return [*bound, *(_with(rest, rest.packet.replace(**{side: True})) for rest in live)]


def _orders(
    stage: Stage, branch: Branch, rulesets: Sequence[Ruleset]
) -> list[tuple[Branch, Sequence[Ruleset]]]:
    """The order of two back ends' tables: no dump shows it, so both are tried."""
    if len(rulesets) < 2:
        return [(branch, rulesets)]
    first, second = rulesets[:2]
    question = _order_question(stage.table, first, second)
    orders: list[tuple[Branch, Sequence[Ruleset]]] = []
    for answer, order in ((True, [first, second]), (False, [second, first])):
        weight = branch.weight.given(question, answer)
        if weight:
            orders.append((_weighing(branch, weight), order))
    return orders


def _order_question(table: TableName, first: Ruleset, second: Ruleset) -> Question:
    """What decides if the rules of two back ends send a packet different ways.

    A table's hooks are registered together, and of those with one priority the last registered
    comes first (nf_hook_entries_grow in the kernel's net/netfilter/core.c).
    """
    text = f"the {table} rules of {first.source} are asked before those of {second.source}"
    return Question("back-end-order", text, about=table)


def _departing(branch: Branch) -> Branch:
    """By the interface that the last routing chose."""
    if branch.packet.rerouted is None:
        return branch
    oif, via = branch.packet.rerouted
    return _with(branch, branch.packet.replace(oif=oif, via=via, rerouted=None))


def _route_keys(packet: Packet) -> tuple[object, ...]:
    """Fields that make the kernel route again if mangle changes them."""
    lifetime = packet.ttl if packet.family == 6 else None
    return packet.src, packet.dst, packet.mark, packet.mark_unknown, packet.tos, lifetime


def _with(branch: Branch, packet: Packet) -> Branch:
    return Branch(packet, branch.weight, branch.last, branch.snat)


def _weighing(branch: Branch, weight: Weight) -> Branch:
    return Branch(branch.packet, weight, branch.last, branch.snat)


def _ending(ended: Ended) -> Way:
    branch = ended.branch
    return Way(ended.verdict, branch.packet, branch.weight, branch.last, branch.snat, missing=ended.missing)


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
    return _with(branch, branch.packet.replace(oif=hop.dev, via=hop.gateway, ttl=left))


def _translated(packet: Packet, stage: Stage) -> Packet:
    """The packet after a nat hook, if its connection is known: each hook rewrites its own side."""
    known = packet.translation
    assert known is not None
    to_go = {"dst": known.dst, "dport": known.dport}
    if stage.binds == "src":
        to_go = {"src": known.src, "sport": known.sport}
    return packet.replace(**to_go, original=packet.first)


def _seen(packet: Packet) -> Packet:
    """The packet after connection tracking."""
    if packet.tracked and not packet.template:
        return packet
    packet = packet.replace(tracked=True)
    if packet.untracked:
        return packet.replace(state=CtState.UNTRACKED)
    if not packet.template:
        return packet
    zone = packet.zone
    if packet.zone_by_mark:
        zone = None if packet.mark_unknown & 0xFFFF else packet.mark & 0xFFFF
    return packet.replace(template=False, zone=zone, zone_by_mark=False, ct_mark=0, ct_mark_unknown=None)


def evaluate(
    packet: Packet,
    host: Host,
    rulesets: Sequence[Ruleset],
    *,
    explain: bool = False,
    enter: Enterer | None = None,
    beyond: Beyond | None = None,
) -> Evaluation:
    """Every way that the packet can go through the host, with exact weights.

    ``rulesets`` are those of the packet's family, one per back end. ``enter`` and ``beyond`` are
    shortcuts, for many packets (see ``evaluate.shortcuts``). Raises RulesError if a visited rule
    cannot be read.
    """
    record = Record(explain)
    own = [rules for rules in rulesets if rules.family == packet.family]
    journey = Journey(host, own, record, enter, beyond)
    journey.begin(packet)
    return Evaluation(
        packet=packet,
        ways=tuple(journey.ways),
        hits=record.hits,
        met=record.met,
        considered=tuple(record.considered),
        notes=tuple(record.notes),
        lacking=tuple(record.lacking),
    )


def evaluate_chain(
    packet: Packet, host: Host, rules: Ruleset, table: TableName, name: ChainName, *, explain: bool = False
) -> Evaluation:
    """The ways of a packet that begins at one chain, for a fragment of a dump.

    A packet that returns from the chain is accepted unchanged. What came before is not known, and so
    the packet's mark is not; nor is what comes after, and so the source that it leaves with is not.
    Raises NotFound, RulesError.
    """
    chain = rules.chain(table, name)
    if chain is None:
        raise NotFound(f"{rules.source}: there is no chain {name} in table {table}")
    record = Record(explain)
    walk = Walk(Place("", table, rules.source, rules.backend), rules, host, record)
    first = table == "raw" and name in ("PREROUTING", "OUTPUT")
    unknown = 0 if first else 0xFFFFFFFF
    branches = [Branch(_seen(packet).replace(mark_unknown=unknown), EVERYTHING)]
    journey = Journey(host, [rules], record)
    if chain.policy is not None:
        lacking = rules.lacking(table, name)
        branches = journey.past(lacking, branches) if lacking else branches
        ended = walk.hook(chain, branches)
    else:
        ended, returned = walk.chain(chain, branches, 0)
        ended += [Ended(rest, Verdict.ACCEPT) for rest in returned]
    ways = [*journey.ways, *map(_ending, ended)]
    if (table, name) != ("nat", "POSTROUTING"):
        ways = [msgspec.structs.replace(way, snat=way.snat or UNKNOWN_SOURCE) for way in ways]
    return Evaluation(
        packet=packet,
        ways=tuple(ways),
        hits=record.hits,
        met=record.met,
        considered=tuple(record.considered),
        notes=(*record.notes, _PART.format(f"{table}:{name}")),
        lacking=tuple(record.lacking),
    )


_PART: Final = (
    "only {} is followed, and what it leads to: the mark that packets have before it is not known, nor is the"
    " source that they leave with behind it"
)
