"""What a snapshot tells, read: the cluster and its nodes; and one packet followed at one of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from kinspect.checks.backends import back_ends
from kinspect.errors import CallError, KinspectError
from kinspect.evaluate.path import evaluate, evaluate_chain
from kinspect.evaluate.shortcuts.after_nat import AfterNatMemo
from kinspect.evaluate.shortcuts.chains import ChainMemo
from kinspect.evaluate.shortcuts.outcomes_only import PacketEnds, ends
from kinspect.evaluate.summary import outcomes
from kinspect.model.answer import NodeTrace
from kinspect.model.cluster import Endpoint, EndpointOwner
from kinspect.model.packet import Address, CtState, Family
from kinspect.model.rules import ChainName, Ruleset, TableName
from kinspect.model.trace import Evaluation
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.node.state import NodeState, read_node
from kinspect.pipeline.gather.sources import selected
from kinspect.pipeline.traffic.probes import Probe
from kinspect.snapshot.types import NodeName, Snapshot

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
    """What was read, and what could not be: ``undetermined`` grows where a packet cannot be followed."""

    cluster: Cluster
    states: dict[str, NodeState]
    undetermined: list[str]
    warnings: list[str] = field(default_factory=list)
    one_of_many: bool = False  # there are other nodes, or other things to tell, when a packet is lost
    heads: ChainMemo = field(default_factory=ChainMemo)  # may be shared with facts of other nodes
    _tails: dict[tuple[str, Family], AfterNatMemo] = field(default_factory=dict)

    def follow(
        self,
        probe: Probe,
        endpoints: Sequence[Endpoint] = (),
        *,
        start: Start | None = None,
        explain: bool = False,
        among_many: bool = False,
        learn: bool = False,
    ) -> NodeTrace | None:
        """One packet at one node; None where its rules cannot be followed, which is then said.

        ``endpoints`` are those of the service that is traced. ``among_many``: what is known of
        packets followed before may be used (see ``shortcuts.after_nat``); ``learn``: what becomes
        known of chains is kept for ``ends``. Raises KinspectError if there is no other node.
        """
        state, packet = self.states[probe.node], probe.packet
        rulesets = state.rulesets[packet.family]
        why = _untraceable(state, probe)
        if why is not None:
            self.undetermined.append(f"{state.name}: {why}")
            return None
        notes = [*probe.notes, *state.notes]
        if packet.state is CtState.ESTABLISHED:
            notes.append(
                "an established connection: no nat rule is asked, it goes where the connection already goes"
            )
        try:
            if start is None:
                tails = self._shared(state, packet.family) if among_many else None
                heads = self.heads if learn else None
                evaluation = evaluate(packet, state.host, rulesets, explain=explain, tails=tails, heads=heads)
            else:
                evaluation = _from_chain(probe, state, rulesets, start, explain)
        except KinspectError as error:
            if len(self.states) == 1 and not self.one_of_many:
                raise
            self.undetermined.append(str(error))
            return None
        for rules in rulesets:
            self.warnings += [str(error) for error in rules.damaged]

        def lookup(address: Address, port: int | None) -> EndpointOwner:
            known = endpoints or self.cluster.endpoints_at(address)
            return self.cluster.backend(address, port, known)

        both = back_ends(state.name, rulesets, evaluation)
        self.warnings += both.warnings
        return NodeTrace(
            node=probe.node,
            via=probe.via,
            packet=packet,
            evaluation=evaluation,
            outcomes=outcomes(evaluation, lookup),
            port=probe.port,
            origin=probe.origin,
            notes=tuple(dict.fromkeys([*notes, *both.notes, *evaluation.notes])),
        )

    def ends(self, probe: Probe) -> PacketEnds | None:
        """Where a packet ends at one node, told without following it; None where that takes following."""
        state, packet = self.states[probe.node], probe.packet
        rulesets = state.rulesets[packet.family]
        # With two back ends, or a rule that cannot be read, there is more to say than where it ends.
        if len(rulesets) != 1 or _untraceable(state, probe) is not None:
            return None
        try:
            tails = self._shared(state, packet.family)
            found = ends(packet, state.host, rulesets, tails=tails, heads=self.heads)
        except KinspectError:
            return None
        return None if rulesets[0].damaged else found

    def _shared(self, state: NodeState, family: Family) -> AfterNatMemo:
        key = (state.name, family)
        if key not in self._tails:
            self._tails[key] = AfterNatMemo(state.host, state.rulesets[family])
        return self._tails[key]


def read_facts(
    snapshot: Snapshot, nodes: Sequence[str] = (), *, local: Sequence[Address] = (), table: str | None = None
) -> Tracer:
    """The nodes that are asked for, or all; one that cannot be read does not stop the others.

    ``local`` are addresses of the hosts that no snapshot tells, ``table`` names that of a fragment.
    Raises KinspectError where no node could be read.
    """
    facts = api_facts(snapshot, nodes)
    failures: list[KinspectError] = []
    for name in selected(snapshot, nodes):
        try:
            facts.states[name] = node_state(snapshot, facts.cluster, name, local=local, table=table)
        except KinspectError as error:
            failures.append(error)
            facts.undetermined.append(str(error))
    some_nodes(snapshot, facts.states, facts.undetermined, failures)
    return facts


def api_facts(snapshot: Snapshot, nodes: Sequence[str] = ()) -> Tracer:
    """What is known before any node is read: the cluster, and what could not be had."""
    undetermined = [f"{name}: {why}" for name, why in snapshot.failed.items() if not nodes or name in nodes]
    undetermined += snapshot.lacking
    return Tracer(Cluster(snapshot.api, snapshot.origin), {}, undetermined, snapshot.remarks)


def node_state(
    snapshot: Snapshot,
    cluster: Cluster,
    name: NodeName,
    *,
    local: Sequence[Address] = (),
    table: str | None = None,
) -> NodeState:
    """One node, read. Raises KinspectError."""
    node = cluster.nodes.get(name)
    known = [a for of in (node.addresses.values() if node else ()) for a in of]
    known += [str(address) for address in local]
    return read_node(name, snapshot.nodes[name], known, table=table, paths=snapshot.paths)


def some_nodes(
    snapshot: Snapshot,
    read: Collection[str],
    undetermined: Collection[str],
    failures: Sequence[KinspectError],
) -> None:
    """Raises where no node could be read, and nobody said why."""
    if read:
        return
    if failures:
        raise failures[0]
    if not undetermined:
        raise CallError(f"{snapshot.origin} has no nodes", hint="give a snapshot with nodes/, or --rules")


def unread(facts: Tracer, snapshot: Snapshot, nodes: Sequence[str]) -> list[str]:
    """What a claim about everything needs, and is not there; nodes that failed are said already."""
    known = {*snapshot.nodes, *snapshot.failed}
    found = [
        f"{name}: none of its rules were read (--node narrows to those that were)"
        for name in facts.cluster.nodes
        if name not in known and (not nodes or name in nodes)
    ]
    if not facts.cluster.has("endpointslices") and not facts.cluster.has("endpoints"):
        found.append("there is no api/endpointslices.json: which endpoints services have is not known")
    return found


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
    return evaluate_chain(probe.packet, state.host, rules, table, chain, explain=explain)
