"""One packet followed at one node."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kinspect.checks.backends import back_ends
from kinspect.errors import KinspectError
from kinspect.evaluate.path import evaluate, evaluate_chain
from kinspect.evaluate.shortcuts.after_nat import AfterNatMemo
from kinspect.evaluate.shortcuts.chains import ChainMemo
from kinspect.evaluate.shortcuts.outcomes_only import ends
from kinspect.evaluate.summary import outcomes
from kinspect.model.answer import NodeTrace
from kinspect.model.cluster import Endpoint, EndpointOwner
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined, unknown, warned
from kinspect.model.node import NodeState
from kinspect.model.packet import Address, CtState, Family, Packet, Translation
from kinspect.model.rules import ChainName, Ruleset, TableName
from kinspect.model.trace import Evaluation, PacketEnds
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.traffic.fragments import dropped_when_marked, hints
from kinspect.pipeline.traffic.probes import Probe

_UNTRACED: Final = {
    "ipvs": "kube-proxy runs in ipvs mode there",
    "nftables": "kube-proxy runs in nftables mode there",
    "none": "there are no rules of kube-proxy there (an eBPF data path, or a node without one)",
    "unknown": "no dump of its rules was read",
}

Start = tuple[TableName | None, ChainName]
"""Where a walk begins in a fragment of a dump: a table, where it is named, and a chain."""


@dataclass(slots=True)
class Tracer:
    """Follows packets at the nodes that were read."""

    cluster: Cluster
    states: Mapping[str, NodeState]
    one_of_many: bool = False  # there are other nodes, or other things to tell, when a packet is lost
    chains: ChainMemo = field(default_factory=ChainMemo)  # may be shared with facts of other nodes
    connection: Callable[[str, Packet], Translation | None] | None = (
        None  # at a node, of an established packet
    )
    _after_nat: dict[tuple[str, Family], AfterNatMemo] = field(default_factory=dict)

    def follow(
        self,
        probe: Probe,
        endpoints: Sequence[Endpoint] = (),
        *,
        start: Start | None = None,
        explain: bool = False,
        among_many: bool = False,
        learn: bool = False,
    ) -> tuple[NodeTrace | None, Diagnostics]:
        """One packet at one node; None if its rules cannot be followed, with the reason.

        ``endpoints`` are those of the service that is traced. ``among_many``: what is known of
        packets followed before may be used (see ``shortcuts.after_nat``); ``learn``: what becomes
        known of chains is kept for ``ends``. Raises KinspectError if there is no other node.
        """
        state, packet = self.states[probe.node], probe.packet
        rulesets = state.rulesets[packet.family]
        why = _untraceable(state, probe)
        if why is not None:
            return None, unknown(f"{state.name}: {why}", node=state.name, code="not-traced")
        notes = [*probe.notes, *state.notes]
        if packet.state is CtState.ESTABLISHED:
            notes.append(
                "an established connection: no nat rule is asked, it goes where the connection already goes"
            )
            if self.connection is not None:
                packet = packet.replace(translation=self.connection(state.name, packet))
        if packet.state is CtState.INVALID:
            notes.append(
                "connection tracking takes it for INVALID, and no nat rule is asked: it opens no connection"
                " (--ctstate, if it belongs to one that exists)"
            )
        try:
            if start is None:
                enter = self.chains.learn if learn else None
                beyond = self._after(state, packet.family).beyond if among_many else None
                evaluation = evaluate(
                    packet, state.host, rulesets, explain=explain, enter=enter, beyond=beyond
                )
            else:
                evaluation = _from_chain(probe, state, rulesets, start, explain)
        except KinspectError as error:
            if len(self.states) == 1 and not self.one_of_many:
                raise
            return None, Diagnostics((Undetermined(text=str(error), node=state.name, code="not-traced"),))
        damaged = [str(error) for rules in rulesets for error in rules.damaged]

        def lookup(address: Address, port: int | None) -> EndpointOwner:
            known = endpoints or self.cluster.endpoints_at(address)
            return self.cluster.backend(address, port, known)

        both = back_ends(state.name, rulesets, evaluation)
        diagnostics = warned([*damaged, *both.warnings]) if damaged or both.warnings else NONE
        ends = outcomes(evaluation, lookup)
        trace = NodeTrace(
            node=probe.node,
            via=probe.via,
            packet=packet,
            evaluation=evaluation,
            outcomes=ends,
            port=probe.port,
            origin=probe.origin,
            notes=tuple(
                dict.fromkeys(
                    [*notes, *both.notes, *evaluation.notes, *hints(rulesets, state.host, evaluation, ends)]
                )
            ),
        )
        return trace, diagnostics

    def ends(self, probe: Probe, *, sources: bool = True) -> PacketEnds | None:
        """Where a packet ends at one node, told without following it; None where that takes following."""
        state, packet = self.states[probe.node], probe.packet
        rulesets = state.rulesets[packet.family]
        # With two back ends, or a rule that cannot be read, there is more to say than where it ends.
        if len(rulesets) != 1 or _untraceable(state, probe) is not None:
            return None
        try:
            after_nat = self._after(state, packet.family)
            found = ends(
                packet,
                state.host,
                rulesets,
                after_nat=after_nat,
                chains=self.chains,
                sources=sources,
            )
        except KinspectError:
            return None
        return None if rulesets[0].damaged else found

    def rules_of(self, node: str, family: Family) -> Sequence[Ruleset]:
        """The rules of a node, of a family."""
        return self.states[node].rulesets[family]

    def _after(self, state: NodeState, family: Family) -> AfterNatMemo:
        key = (state.name, family)
        if key not in self._after_nat:
            self._after_nat[key] = AfterNatMemo(state.host, state.rulesets[family])
        return self._after_nat[key]


def _untraceable(state: NodeState, probe: Probe) -> str | None:
    """Why a node's rules cannot be followed, where they cannot."""
    untraced = _UNTRACED.get(state.data_path)
    if untraced is not None and (probe.via != "packet" or state.data_path in ("ipvs", "nftables")):
        return f"{untraced} ({state.proof}): kinspect follows iptables rules only"
    family = probe.packet.family
    if not state.rulesets[family]:
        tool = "iptables-save" if family == 4 else "ip6tables-save"
        return f"no {tool} dump was read: IPv{family} cannot be traced"
    return None


def _from_chain(
    probe: Probe, state: NodeState, rulesets: Sequence[Ruleset], start: Start, explain: bool
) -> Evaluation:
    table, chain = start
    found = [rules for rules in rulesets if table is None or rules.chain(table, chain) is not None]
    rules = found[0] if found else rulesets[0]
    if table is None:
        tables = [name for name in rules.tables() if rules.chain(name, chain) is not None]
        table = tables[0] if tables else TableName("nat")
    evaluation = evaluate_chain(probe.packet, state.host, rules, table, chain, explain=explain)
    return dropped_when_marked(evaluation, rules)
