"""One chain after another: the walk of one hook of one table.

Packets that can differ (by a random draw, or by a question that no dump answers) continue side
by side as branches with weights. Branches that become the same packet again are merged, so a
question that made no difference leaves no trace in the answer.

This is what a walk means, and nothing else: a shortcut that knows what a chain does to a packet
plugs in as ``Walk.enter`` (see ``evaluate.shortcuts``).
Order of rules, jump, goto and RETURN: iptables(8); ipt_do_table in the kernel's ip_tables.c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec
from typing_extensions import assert_never

from kinspect.errors import RulesError, Undetermined
from kinspect.model.host import Host
from kinspect.model.odds import ALWAYS, NEVER, NOTHING, Chance, Odds, Undecided, Weight  # fmt: skip
from kinspect.model.packet import Packet
from kinspect.model.rules import (
    Back,
    Bind,
    Chain,
    ChainName,
    Effect,
    End,
    Enter,
    Lacking,
    OneOf,
    Proceed,
    Remembers,
    Rule,
    Ruleset,
    Verdict,
)  # fmt: skip
from kinspect.model.trace import ChainPolicy, Considered, Matched, Place, RuleKey, Step
from kinspect.netfilter.matches.statistic import Nth

# The cost at which a walk is given up: the kernel follows one packet along one path of its rules, a walk
# follows all paths that it could take, and a few dozen rules can make more of those than can be counted.
_DEEPEST: Final = 128  # chains in chains
_BROADEST: Final = 2048  # branches side by side in one chain, each counted once per term of its weight
_MOST_WORK: Final = 2_000_000  # rules evaluated, each counted once per chain above it: a second or two


class Branch(msgspec.Struct, frozen=True):
    """A packet at a point of the walk, with its share and its way so far."""

    packet: Packet
    weight: Weight
    last: Step | None = None
    snat: str | None = None

    def after(self, event: Matched | ChainPolicy, weight: Weight | None = None) -> Branch:
        """The branch with one more event on its way, and perhaps another weight."""
        return Branch(
            self.packet, self.weight if weight is None else weight, Step(event, self.last), self.snat
        )


class Ended(msgspec.Struct, frozen=True):
    """A branch whose walk of this hook is over."""

    branch: Branch
    verdict: Verdict
    bound: bool = False  # by a nat binding
    missing: str | None = None  # in rules that the text lacks: where the packet ends is not known


@dataclass(slots=True)
class Record:
    """What a walk records besides its branches: how often rules were met, and why."""

    explain: bool = False
    silent: bool = False  # nothing is recorded, not even the way of a branch
    hits: dict[RuleKey, Weight] = field(default_factory=dict)
    met: dict[RuleKey, Rule] = field(default_factory=dict)
    considered: list[Considered] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    lacking: dict[Lacking, None] = field(default_factory=dict)
    work: int = 0  # the cost so far

    def hit(self, place: Place, rule: Rule, weight: Weight) -> None:
        """Count a share of the packet at a rule."""
        key = (place.source, place.table, rule.line)
        self.met[key] = rule
        self.hits[key] = self.hits.get(key, NOTHING) + weight


Left: TypeAlias = tuple[list[Ended], list[Branch]]
"""How a branch leaves a chain: the parts that ended there, and those that go back to the caller."""

Enterer: TypeAlias = Callable[["Walk", Chain, Branch, int], Left]
"""Takes a branch through a chain that a rule leads to, at a depth, instead of ``Walk.chain``.

The result must be the same; only if the record is silent may it leave out the ways.
"""


@dataclass(frozen=True, slots=True)
class Walk:
    """The walk of one hook: its place, its rules, and the host that they depend on."""

    place: Place
    rules: Ruleset
    host: Host
    record: Record
    enter: Enterer | None = None  # None: every chain is walked
    settled: set[str] = field(default_factory=set)  # nth rules whose packets have all left this hook
    lingering: set[str] = field(default_factory=set)  # and those whose have not
    above: list[ChainName] = field(default_factory=list)  # the chains that led to the present one

    def hook(self, chain: Chain, branches: Sequence[Branch]) -> list[Ended]:
        """Walk a built-in chain to its verdicts; its policy decides for packets that reach its end."""
        ended, returned = self.chain(chain, branches, 0)
        verdict = chain.policy or Verdict.ACCEPT
        for branch in returned:
            event = ChainPolicy(self.place, chain.name, verdict)
            # A policy of ACCEPT is not worth an event.
            ended.append(Ended(branch if verdict is Verdict.ACCEPT else branch.after(event), verdict))
        return ended

    def chain(self, chain: Chain, branches: Sequence[Branch], depth: int) -> Left:
        """Walk one chain: (branches that ended, branches that go back to the caller)."""
        if chain.name in self.above:  # which the kernel would have refused: the dump is damaged
            raise RulesError(
                f"table {self.place.table}: chain {chain.name} leads into itself", source=self.rules.source
            )
        if depth > _DEEPEST:
            raise self._too_much(f"its chains are more than {_DEEPEST} deep at {chain.name}")
        ended: list[Ended] = []
        returned: list[Branch] = []
        live = list(branches)
        self.above.append(chain.name)
        for rule in self._rules(chain, live):
            if not live:
                break
            self._spend(chain, live, depth)
            following: list[Branch] = []
            if rule.remembers:
                for branch in live:
                    if self.record.explain:
                        self._odds(rule, branch.packet, depth)
                    self._in_turn(rule, branch, depth, ended, returned, following)
                live = merged(following)
                continue
            asked = [self._odds(rule, branch.packet, depth) for branch in live]
            if asked.count(None) == len(asked):
                continue
            for branch, odds in zip(live, asked, strict=True):
                if odds is None:
                    following.append(branch)
                    continue
                held, missed = branch.weight.split(odds)
                if missed:
                    following.append(Branch(branch.packet, missed, branch.last, branch.snat))
                if held:
                    taken = self._taken(branch, rule, held, depth)
                    if rule.target is not None:
                        effect = rule.target.act(branch.packet, self.host)
                        self._apply(effect, rule, taken, depth, ended, returned, following)
            live = merged(following)
        if live and chain.policy is None and not self.rules.complete:
            live = self._past_the_rest(chain, live, ended)
        self.above.pop()
        return ended, merged([*returned, *live])

    def _past_the_rest(self, chain: Chain, live: Sequence[Branch], ended: list[Ended]) -> list[Branch]:
        """The branches at the end of a chain that a fragment holds in part: it may have more rules."""
        lacking = self.rules.lacking(self.place.table, chain.name)
        if lacking is None:
            return list(live)
        returning = []
        for branch in live:
            returns = branch.weight.given(lacking.question, True)
            stays = branch.weight.given(lacking.question, False)
            if returns:
                returning.append(Branch(branch.packet, returns, branch.last, branch.snat))
            if stays:
                part = Branch(branch.packet, stays, branch.last, branch.snat)
                ended.append(Ended(part, Verdict.ACCEPT, missing=lacking.what))
        return returning

    def _spend(self, chain: Chain, live: Sequence[Branch], depth: int) -> None:
        """Count the cost of evaluating one more rule. Raises Undetermined if it is too much."""
        broad = sum([len(branch.weight.terms) for branch in live])
        self.record.work += broad * (depth + 1)
        if broad > _BROADEST or self.record.work > _MOST_WORK:
            raise self._too_much(f"its rules fork more than can be followed, at chain {chain.name}")

    def _too_much(self, why: str) -> Undetermined:
        return Undetermined(f"{self.rules.source}: table {self.place.table}: {why}: not determined")

    def _in_turn(
        self,
        rule: Rule,
        branch: Branch,
        depth: int,
        ended: list[Ended],
        returned: list[Branch],
        following: list[Branch],
    ) -> None:
        """A rule with matches that remember their evaluation: they are evaluated one by one."""
        live = [branch]
        counts: str | None = None
        for clause in rule.clauses:
            holding: list[Branch] = []
            remembering = clause.match if isinstance(clause.match, Remembers) else None
            if isinstance(clause.match, Nth):
                counts = clause.match.rule
            for part in live:
                odds = clause.match.odds(self._as_counted(part.packet, counts), self.host)
                held, missed = part.weight.split([odds])
                for weight, holds, into in ((held, True, holding), (missed, False, following)):
                    if weight:
                        packet = remembering.asked(part.packet, holds) if remembering else part.packet
                        into.append(Branch(packet, weight, part.last, part.snat))
            live = holding
        before = len(following), len(returned), len(ended)
        for part in live:
            taken = self._taken(part, rule, part.weight, depth)
            if rule.target is not None:
                effect = rule.target.act(part.packet, self.host)
                self._apply(effect, rule, taken, depth, ended, returned, following)
        if counts is None:
            return
        gone = all(end.bound or end.verdict is not Verdict.ACCEPT for end in ended[before[2] :])
        if gone and before[:2] == (len(following), len(returned)) and counts not in self.lingering:
            self.settled.add(counts)
        else:
            self.lingering.add(counts)
            self.settled.discard(counts)

    def _as_counted(self, packet: Packet, counting: str | None) -> Packet:
        """The packet without counts that no longer distinguish it from another in this hook."""
        if not packet.counted:
            return packet
        return packet.replace(
            counted=tuple(
                (rule, took)
                for rule, took in packet.counted
                if took or rule not in self.settled or rule == counting
            )
        )

    def _taken(self, branch: Branch, rule: Rule, held: Weight, depth: int) -> Branch:
        """The part of a branch that a rule took, which is recorded."""
        if self.record.silent:
            return Branch(branch.packet, held, None, branch.snat)
        self.record.hit(self.place, rule, held)
        return branch.after(Matched(self.place, rule, depth, branch.packet), weight=held)

    def _rules(self, chain: Chain, live: Sequence[Branch]) -> Sequence[Rule]:
        """The rules to look at; all of them if each is to be explained."""
        if self.record.explain or not live:
            return chain.rules()
        if len(live) == 1:
            return chain.relevant(live[0].packet)
        found = {rule.number: rule for branch in live for rule in chain.relevant(branch.packet)}
        return [found[number] for number in sorted(found)]

    def _odds(self, rule: Rule, packet: Packet, depth: int) -> Sequence[Odds] | None:
        """The odds of all matches of a rule; None: a certain no, whatever else is open."""
        needed: list[Odds] = []
        refused: str | None = None
        for clause in rule.clauses:
            odds = clause.match.odds(packet, self.host)
            if odds is ALWAYS:
                continue
            if odds is NEVER or odds == NEVER:
                if not self.record.explain:
                    return None
                refused = refused or f"not {clause.text}: {clause.match.seen(packet)}"
            elif not (isinstance(odds, Chance) and odds.share == 1):
                needed.append(odds)
        if self.record.explain:
            self._explain(rule, depth, needed, refused)
        return None if refused else needed

    def _explain(self, rule: Rule, depth: int, needed: Sequence[Odds], refused: str | None) -> None:
        if refused is not None:
            held, why = False, refused
        elif needed:
            reasons = []
            for odds in needed:
                match odds:
                    case Chance(share):
                        reasons.append(f"a draw: holds for {share} of the packets")
                    case Undecided(question, answer):
                        reasons.append(f"not known: {question.text}{'' if answer else ' (or not)'}")
            held, why = None, "; ".join(reasons)
        else:
            held, why = True, "all of its matches hold" if rule.clauses else "it has no match"
        self.record.considered.append(Considered(self.place, rule, depth, held, why))

    def _apply(
        self,
        effect: Effect,
        rule: Rule,
        branch: Branch,
        depth: int,
        ended: list[Ended],
        returned: list[Branch],
        following: list[Branch],
    ) -> None:
        """Put a branch that a rule took where the effect of its target sends it."""
        match effect:
            case Proceed(packet):
                following.append(_with(branch, packet))
            case End(verdict, packet):
                ended.append(Ended(_with(branch, packet), verdict))
            case Bind(packet, snat):
                bound = Branch(packet, branch.weight, branch.last, snat or branch.snat)
                ended.append(Ended(bound, Verdict.ACCEPT, bound=True))
            case Back():
                returned.append(branch)
            case Enter(name, goto):
                chain = self.rules.chain(self.place.table, name)
                if chain is None:
                    self._lost(rule, name, branch, depth, ended, returned, returned if goto else following)
                    return
                if self.enter is None:
                    inner_ended, inner_returned = self.chain(chain, [branch], depth + 1)
                else:
                    inner_ended, inner_returned = self.enter(self, chain, branch, depth + 1)
                ended.extend(inner_ended)
                (returned if goto else following).extend(inner_returned)
            case OneOf(effects):
                rest = branch.weight
                for odds, alternative in effects:
                    held, rest = rest.split((odds,))
                    if held:
                        part = Branch(branch.packet, held, branch.last, branch.snat)
                        self._apply(alternative, rule, part, depth, ended, returned, following)
            case _:
                assert_never(effect)

    def _lost(
        self,
        rule: Rule,
        name: ChainName,
        branch: Branch,
        depth: int,
        ended: list[Ended],
        returned: list[Branch],
        following: list[Branch],
    ) -> None:
        """A jump to a chain that the dump does not have."""
        if self.rules.complete:
            column = rule.text.rfind(f" {name}") + 1
            raise RulesError(
                f"{name} is neither a chain of table {self.place.table} nor a target that kinspect knows",
                source=self.rules.source,
                line=rule.line,
                text=rule.text,
                column=column,
                width=len(name),
                hint="the dump is damaged, or a part of one",
            )
        what, final = self.rules.missing(rule, name)
        lacking = Lacking(what, self.place.table)
        if final:
            ended.append(Ended(branch, Verdict.ACCEPT, missing=lacking.what))
            return
        returns = branch.weight.given(lacking.question, True)
        if returns:
            part = Branch(branch.packet, returns, branch.last, branch.snat)
            self._apply(Proceed(branch.packet), rule, part, depth, ended, returned, following)
        stays = branch.weight.given(lacking.question, False)
        if stays:
            part = Branch(branch.packet, stays, branch.last, branch.snat)
            ended.append(Ended(part, Verdict.ACCEPT, missing=lacking.what))


def _with(branch: Branch, packet: Packet) -> Branch:
    return branch if packet is branch.packet else Branch(packet, branch.weight, branch.last, branch.snat)


def merged(branches: list[Branch]) -> list[Branch]:
    """Branches of the same packet become one if the weights of both depend on a question.

    Branches that differ by a draw alone stay apart: each way is worth showing.
    """
    if len(branches) < 2:
        return branches
    found: dict[tuple[Packet, str | None], Branch] = {}
    apart: list[Branch] = []
    crowded = len(branches) > _CROWD
    for branch in branches:
        if branch.weight.plain and not crowded:
            apart.append(branch)
            continue
        key = (branch.packet, branch.snat)
        other = found.get(key)
        if other is None:
            found[key] = branch
        else:
            found[key] = Branch(
                branch.packet, other.weight + branch.weight, _shorter(other.last, branch.last), branch.snat
            )
    return [*apart, *found.values()]


_CROWD: Final = 64  # branches side by side, beyond which equal ones are joined in any case


def _shorter(one: Step | None, other: Step | None) -> Step | None:
    """The way with fewer rules: the one to show if both end the same."""
    length_one, length_other = (len(way.events()) if way else 0 for way in (one, other))
    return one if length_one <= length_other else other
