"""``trace --ctstate established`` of a service: where the connections that exist go, by connection tracking.

No rule of nat is asked for them, so the rules do not tell. Of each entry node and way in, the connections
are counted by where they go, and one of each is followed through the rest of the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import msgspec

from kinspect.evaluate.summary import outcomes
from kinspect.model.answer import NodeTrace
from kinspect.model.cluster import Endpoint, EndpointOwner, Service
from kinspect.model.diagnostics import Diagnostics, Undetermined, together, warned
from kinspect.model.flows import Flow
from kinspect.model.packet import Address, CtState, Translation, endpoint_text, protocol_name, read_address
from kinspect.model.rules import Verdict
from kinspect.model.trace import Evaluation, Routed, Step, Way
from kinspect.parse.user.target import FromNode, Sender
from kinspect.pipeline.connections import read_tables
from kinspect.pipeline.gather.read import Facts
from kinspect.pipeline.traffic.probes import Probe, came_in
from kinspect.pipeline.traffic.tracer import Tracer
from kinspect.snapshot.types import Snapshot


def ongoing(
    probes: Sequence[Probe],
    service: Service,
    facts: Facts,
    snapshot: Snapshot,
    nodes: Sequence[str],
    sender: Sender | None = None,
) -> tuple[list[NodeTrace], Mapping[str, Fraction], Diagnostics]:
    """The traces of connections that exist, how many entered at each node, and what is not known.

    ``sender``: only what that one opened. A node whose table was not read, or was cut, has no trace:
    what decides there is not known.
    """
    found = read_tables(facts, snapshot, nodes, services=[service])
    tracer = Tracer(facts.cluster, facts.states, one_of_many=True)
    endpoints = facts.cluster.endpoints(service.key)
    traces: list[NodeTrace] = []
    counts: dict[str, Fraction] = {}
    diagnostics: list[Diagnostics] = []
    for probe in probes:
        if probe.node in found.unknown:
            why = found.unknown[probe.node]
            text = f"{probe.node}: connection tracking decides where connections go, and {why}"
            missing = Undetermined(text=text, code="connections-unknown", node=probe.node)
            diagnostics.append(Diagnostics((missing,)))
            continue
        flows = [flow for flow in found.flows if _enters(flow, probe, service) and _by(sender, flow, probe)]
        if not flows:
            front = endpoint_text(probe.packet.dst, probe.packet.dport)
            diagnostics.append(warned([f"{probe.node}: no connection to {front} is tracked there"]))
            continue
        trace, unknown = _trace(probe, flows, tracer, endpoints)
        diagnostics.append(unknown)
        if trace is not None:
            traces.append(trace)
            counts[probe.node] = counts.get(probe.node, Fraction(0)) + len(flows)
    return traces, counts, together(diagnostics)


def _enters(flow: Flow, probe: Probe, service: Service) -> bool:
    """Whether a connection came in where the probe does."""
    packet = probe.packet
    same = flow.node == probe.node and flow.service == service.key and flow.via == probe.via
    if not same or flow.closing or flow.protocol != protocol_name(packet.protocol):
        return False
    return flow.dport == packet.dport and (probe.via == "nodeport" or flow.dst == str(packet.dst))


def _by(sender: Sender | None, flow: Flow, probe: Probe) -> bool:
    """Whether the sender asked for opened it; a node may do that from any of its addresses."""
    if isinstance(sender, FromNode):
        return flow.client.node == sender.node and flow.client.pod is None
    return sender is None or flow.src == str(probe.packet.src)


def _trace(
    probe: Probe, flows: Sequence[Flow], tracer: Tracer, endpoints: Sequence[Endpoint]
) -> tuple[NodeTrace | None, Diagnostics]:
    """All of an entry's connections as one trace: each kind by its share of them."""
    kinds: dict[tuple[str, str | None], list[Flow]] = {}
    for flow in flows:
        kinds.setdefault((flow.to, flow.snat), []).append(flow)
    ways: list[Way] = []
    first: Evaluation | None = None
    diagnostics: list[Diagnostics] = []
    for (_, snat), same in kinds.items():
        followed, unknown = tracer.follow(_with_connection(probe, same[0], tracer), endpoints)
        diagnostics.append(unknown)
        if followed is None:
            return None, together(diagnostics)
        first = first or followed.evaluation
        share = Fraction(len(same), len(flows))
        for way in followed.evaluation.ways:
            scaled = msgspec.structs.replace(way, weight=way.weight.scaled(share), snat=snat)
            ways.append(scaled if same[0].stale != "untranslated" else _nowhere(scaled))
    assert first is not None
    evaluation = msgspec.structs.replace(first, ways=tuple(ways))

    def lookup(address: Address, port: int | None) -> EndpointOwner:
        return tracer.cluster.backend(address, port, endpoints)

    number = f"{len(flows):,} connection{'' if len(flows) == 1 else 's'}"
    trace = NodeTrace(
        node=probe.node,
        via=probe.via,
        packet=first.packet,
        evaluation=evaluation,
        outcomes=outcomes(evaluation, lookup),
        port=probe.port,
        origin="connections that exist",
        notes=(
            *probe.notes,
            f"connection tracking has {number}: the shares are theirs",
        ),
    )
    return trace, together(diagnostics)


def _nowhere(way: Way) -> Way:
    """The way of a packet to an address that only a rule of nat could have taken it from."""
    last = Step(Routed("no rule rewrote where it goes, and nothing answers there", dropped=True), way.last)
    return msgspec.structs.replace(way, verdict=Verdict.DROP, last=last, delivered=False)


def _with_connection(probe: Probe, flow: Flow, tracer: Tracer) -> Probe:
    """A packet of the connection, with what connection tracking makes of it."""
    src = read_address(flow.src)
    state = tracer.states[probe.node]
    local = state.host.is_local(src) is True
    packet = probe.packet.replace(
        src=src,
        sport=flow.sport,
        dst=read_address(flow.dst),
        local=local,
        iif=None if local else came_in(src, state),
        state=CtState.ESTABLISHED,
        translation=Translation(
            src=read_address(flow.snat or flow.src),
            sport=flow.sport if flow.snat is None else None,
            dst=read_address(flow.to_address),
            dport=flow.to_port,
            reply=False,
            dnat=True,
            snat=flow.snat is not None,
        ),
    )
    return Probe(probe.node, probe.via, packet, probe.origin, probe.port)
