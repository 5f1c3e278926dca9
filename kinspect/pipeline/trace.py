"""``kinspect trace``: a request and a source to an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import msgspec

from kinspect.checks.remarks import Setting, remarks
from kinspect.errors import CallError, NotFound
from kinspect.evaluate.summary import totals
from kinspect.flows.counters import expected, judged
from kinspect.kubeproxy.frontends import Frontend, as_service, frontends
from kinspect.model.answer import OUTSIDE, NodeTrace, NoSuchService, Remark, TraceAnswer, Via
from kinspect.model.cluster import Service, ServicePort
from kinspect.model.diagnostics import NONE, Diagnostics, together, unknown, warned
from kinspect.model.node import NodeState
from kinspect.model.packet import Address, CtState, Family, Packet, Translation, endpoint_text, protocol_name
from kinspect.model.rules import ChainName, TableName
from kinspect.model.traffic import SenderClass, Traffic
from kinspect.netfilter.tracking import first_state
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.user.target import (
    AddressTarget,
    FromAddress,
    FromPod,
    NodePortTarget,
    Sender,
    ServiceTarget,
    TraceTarget,
)
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.read import Facts, read_facts
from kinspect.pipeline.gather.sources import Source, Wanted
from kinspect.pipeline.ongoing import ongoing
from kinspect.pipeline.traffic.by_comments import by_node_port, probes_by_comments
from kinspect.pipeline.traffic.established import translation
from kinspect.pipeline.traffic.locations import Locator
from kinspect.pipeline.traffic.probes import (
    VIAS,
    Probe,
    Prober,
    Probes,
    came_in,
    default_vias,
    joined,
    ports_of,
)
from kinspect.pipeline.traffic.tracer import Tracer
from kinspect.report.numbers import exact_text
from kinspect.snapshot.types import NodeName, Snapshot

Connection = Callable[[str, Packet], Translation | None]
"""What is known of the connection of an established packet, at a node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRequest:
    """What to trace. Either a target or a packet is given."""

    target: TraceTarget | None = None
    packet: Packet | None = None
    namespace: str | None = None
    via: Via | Literal["all"] | None = None
    vias: Sequence[Via] = ()  # several ways in; none: those of ``via``, or what the service's type is for
    entry: Mapping[str, Fraction] | None = None
    sender: Sender | None = None
    iif: str | None = None
    local: Sequence[Address] = ()
    state: CtState | None = None  # None: what connection tracking makes of a first packet
    nodes: Sequence[str] = ()
    family: Family | None = None
    start: tuple[TableName | None, ChainName] | None = None
    table: str | None = None
    explain: bool = False
    counters: bool = False  # what the rules have counted for each endpoint, too


def trace(request: TraceRequest, source: Source) -> TraceAnswer:
    """Trace a service's ways in, or one packet. Raises KinspectError."""
    if request.packet is None and request.target is None:
        raise CallError("nothing to trace", hint="give a TARGET such as svc/NAME, or --packet")
    if request.packet is not None and request.counters:
        raise CallError("--counters counts the connections of a service", hint="give svc/NAME, no packet")
    target = request.target
    nodes = list(dict.fromkeys([*request.nodes, *(request.entry or ())]))
    wanted = Wanted(
        service=(target.namespace, target.name) if isinstance(target, ServiceTarget) else None,
        namespace=request.namespace,
        pods=isinstance(request.sender, FromPod | FromAddress),
        nodes=nodes,
        family=request.family,
        connections=request.state is CtState.ESTABLISHED,
    )
    snapshot, namespace = opened(source, wanted)
    facts = read_facts(
        snapshot,
        nodes,
        local=request.local,
        table=request.table or (request.start[0] if request.start else None),
        chain=request.start[1] if request.start else None,
        about=lambda key: (
            wanted.service is None or key == (wanted.service[0] or namespace, wanted.service[1])
        ),
    )

    def connection(node: str, packet: Packet) -> Translation | None:
        return translation(packet, snapshot.nodes[NodeName(node)])

    if request.packet is not None:
        return _of_packet(request, facts, request.packet, connection)
    answer = of_target(request, facts, namespace, connection, snapshot)
    return _with_counts(request, facts, namespace, answer) if request.counters else answer


def _with_counts(request: TraceRequest, facts: Facts, namespace: str, answer: TraceAnswer) -> TraceAnswer:
    """The answer with what the rules have counted: connections of all ways in, so all of them are traced.

    Raises CallError: it is not about a service.
    """
    target = request.target
    service = answer.service
    if service is not None:
        port = target.port if isinstance(target, ServiceTarget) else None
        target = ServiceTarget(service.name, service.namespace, port)
    if not isinstance(target, ServiceTarget):
        raise CallError("--counters needs a service that is known", hint="give svc/NAME")
    every = TraceRequest(
        target=target, namespace=request.namespace, via="all", nodes=request.nodes, family=request.family
    )
    traces = of_target(every, facts, namespace).traces
    found = [one.count(one.packets) for one in expected(traces)]
    counts = judged(found, sticky=service is not None and service.affinity_seconds is not None)
    unread = [
        unknown(
            f"{node}: its rules have no counters for the service", node=node, answered_by="iptables-save -c"
        )
        for node in dict.fromkeys(one.node for one in found if one.connections is None)
    ]
    diagnostics = together([answer.diagnostics, *unread])
    return msgspec.structs.replace(answer, counts=counts, diagnostics=diagnostics)


def _prober(request: TraceRequest, facts: Facts, namespace: str = "default") -> Prober:
    return Prober(
        facts.cluster,
        facts.states,
        families=(request.family,) if request.family else (4, 6),
        sender=request.sender,
        namespace=namespace,
        state=request.state or CtState.NEW,
        iif=request.iif,
    )


def _of_packet(request: TraceRequest, facts: Facts, packet: Packet, connection: Connection) -> TraceAnswer:
    """One packet, at every node asked for."""
    probes = []
    for name, state in facts.states.items():
        local = request.iif is None and state.host.is_local(packet.src) is True
        iif = None if local else request.iif or came_in(packet.src, state)
        entering = packet.replace(
            iif=iif, local=local, state=request.state or first_state(packet, state.host)
        )
        probes.append(Probe(name, "packet", entering, "the packet's sender"))
    return _answer(request, facts, probes, NONE, connection)


def of_target(
    request: TraceRequest,
    facts: Facts,
    namespace: str,
    connection: Connection | None = None,
    snapshot: Snapshot | None = None,
) -> TraceAnswer:
    """Trace a request's target, of a cluster and nodes that were read. Raises KinspectError.

    ``snapshot`` has the nodes' connections, which decide where those that exist go.
    """
    target = request.target
    assert target is not None
    prober = _prober(request, facts, namespace)
    service: Service | None
    about: list[Remark] = []
    match target:
        case ServiceTarget() if not facts.cluster.has("services"):
            service, made = None, probes_by_comments(prober, target, request.namespace, request.via)
        case NodePortTarget(number, protocol) if not facts.cluster.has("services"):
            service, made = None, by_node_port(prober, number, protocol)
        case ServiceTarget(name, space, port):
            service = facts.cluster.service(space or namespace, name)
            assert service is not None
            made = _service_probes(request, prober, service, port)
        case NodePortTarget(number, protocol):
            service, service_port = _frontend(facts.cluster, None, number, protocol)
            if service is None or service_port is None:
                made = _unowned_node_port(prober, facts, number, protocol)
                about = [NoSuchService(f"NodePort {number}", _nodes_that_take(facts, None, number, protocol))]
            else:
                made = prober.of_service(service, ("nodeport",), (service_port,))
        case AddressTarget(address, number_or_none, protocol):
            service, service_port = _frontend(facts.cluster, address, number_or_none, protocol)
            via, nodes = _address_way(facts, service, address)
            if service is None and number_or_none is not None and _should_be_a_frontend(facts, address):
                takers = _nodes_that_take(facts, address, number_or_none, protocol)
                about = [NoSuchService(endpoint_text(address, number_or_none), takers)]
            made = prober.to_address(
                address, number_or_none, protocol, via, service_port, service=service, nodes=nodes
            )
    probes = list(made.probes)
    if request.entry:
        probes = [probe for probe in probes if probe.via not in OUTSIDE or probe.node in request.entry]
    if (
        service is not None
        and snapshot is not None
        and request.state is CtState.ESTABLISHED
        and not request.start
    ):
        return _ongoing(request, facts, probes, made.diagnostics, service, snapshot)
    return _answer(request, facts, probes, made.diagnostics, connection, service, about)


def _should_be_a_frontend(facts: Facts, address: Address) -> bool:
    """Whether an address is nothing but a frontend can be: no pod's, and the services are known."""
    cluster = facts.cluster
    if not cluster.has("services"):
        return False
    if cluster.node_address(address):
        return True
    return cluster.pod_at(address) is None and not cluster.endpoints_at(address)


def _nodes_that_take(facts: Facts, address: Address | None, port: int, protocol: int) -> tuple[str, ...]:
    """The nodes whose rules have a frontend; an address of a node stands for its NodePorts too."""
    found = []
    for name, state in facts.states.items():
        own = address is None or state.host.is_local(address) is True
        taken = any(
            (front.port, front.protocol_number) == (port, protocol)
            and (front.address == address or (own and front.address is None))
            for front in _frontends(state)
        )
        if taken:
            found.append(name)
    return tuple(found)


def _frontends(state: NodeState) -> dict[Frontend, None]:
    """The frontends that any of a node's rules know, each once."""
    every = [rules for rulesets in state.rulesets.values() for rules in rulesets]
    return dict.fromkeys(front for rules in every for front in frontends(rules))


def _unowned_node_port(prober: Prober, facts: Facts, port: int, protocol: int) -> Probes:
    """The packets to a NodePort that no service has, at the nodes whose rules take it. Raises NotFound."""
    made = [
        prober.to_frontend(as_service(front), "nodeport", family, name)
        for name, state in facts.states.items()
        for front in _frontends(state)
        if front.via == "nodeport" and (front.port, front.protocol_number) == (port, protocol)
        for family in state.families
    ]
    if not made:
        raise NotFound(
            f"no service has the NodePort {port}/{protocol_name(protocol)}, and no node's rules take it",
            hint="kubectl get services -A lists them; a port of one node is ADDRESS:PORT",
        )
    return joined(made)


def _ongoing(
    request: TraceRequest,
    facts: Facts,
    probes: Sequence[Probe],
    skipped: Diagnostics,
    service: Service,
    snapshot: Snapshot,
) -> TraceAnswer:
    """Where a service's connections that exist go; entry nodes count by how many entered there."""
    traces, counts, unknown = ongoing(probes, service, facts, snapshot, request.nodes, request.sender)
    entry = request.entry or counts
    return TraceAnswer(
        service=service,
        endpoints=facts.cluster.endpoints(service.key),
        traces=tuple(traces),
        totals=totals(traces, entry, service=True),
        entry=tuple(entry.items()),
        diagnostics=together([facts.diagnostics, skipped, unknown]),
    )


def _service_probes(request: TraceRequest, prober: Prober, service: Service, port: str | None) -> Probes:
    """The packets into a service; an error that says why there is no path, where there is none."""
    if service.type == "ExternalName":
        raise CallError(
            f"service {service} is of type ExternalName: a name in DNS for {service.external_name}, which no"
            " rule of a node knows",
            hint=f"trace {service.external_name} by its address",
        )
    if service.headless:
        raise CallError(
            f"service {service} is headless (clusterIP: None): clients get its endpoints' addresses from DNS"
            " and go there directly, past all rules of services",
            hint="trace an endpoint's ADDRESS:PORT",
        )
    vias: Sequence[Via] = request.vias or default_vias(service, request.sender)
    if request.via == "all":
        vias = VIAS
    elif request.via is not None and request.via != "packet":
        vias = (request.via,)
    made = prober.of_service(service, vias, ports_of(service, port))
    if not made.probes and not made.diagnostics and prober.states:
        lacks = {
            "nodeport": "no NodePort",
            "loadbalancer": "no load-balancer address",
            "externalip": "no external IP",
            "clusterip": "no cluster IP",
        }
        what = " and ".join(lacks[via] for via in vias if via in lacks)
        family = f" of IPv{request.family}" if request.family else ""
        raise CallError(
            f"service {service} (type {service.type}) has {what}{family} to trace at these nodes",
            hint="--via names another way in: clusterip, nodeport, loadbalancer, externalip, all",
        )
    return made


def _frontend(
    cluster: Cluster, address: Address | None, port: int | None, protocol: int
) -> tuple[Service | None, ServicePort | None]:
    """The service whose frontend this is; without an address, whose NodePort."""
    name = protocol_name(protocol).upper()
    own = address is None or cluster.node_address(address)
    for service in cluster.services():
        for service_port in service.ports:
            if service_port.protocol != name:
                continue
            if own and service_port.node_port == port:
                return service, service_port
            fronts = (*service.cluster_ips, *service.load_balancer_ips, *service.external_ips)
            if address in fronts and service_port.port == port:
                return service, service_port
    return None, None


def _address_way(facts: Facts, service: Service | None, address: Address) -> tuple[Via, Sequence[str] | None]:
    """By which way an address is entered, and at which nodes: a node's own address at that node."""
    home = [name for name, state in facts.states.items() if state.host.is_local(address) is True]
    if service is None:
        return "packet", home or None
    if address in service.cluster_ips:
        return "clusterip", None
    if address in service.load_balancer_ips:
        return "loadbalancer", None
    if address in service.external_ips:
        return "externalip", None
    return "nodeport", home or None


def _answer(
    request: TraceRequest,
    facts: Facts,
    probes: Sequence[Probe],
    skipped: Diagnostics,
    connection: Connection | None,
    service: Service | None = None,
    about: Sequence[Remark] = (),
) -> TraceAnswer:
    endpoints = facts.cluster.endpoints(service.key) if service else ()
    start = request.start
    if start is not None and start[0] is None and request.table is not None:
        start = (TableName(request.table), start[1])
    tracer = Tracer(facts.cluster, facts.states, connection=connection)
    followed = [tracer.follow(probe, endpoints, start=start, explain=request.explain) for probe in probes]
    traces = [trace for trace, _ in followed if trace is not None]
    diagnostics = together(
        [facts.diagnostics, skipped, *(each for _, each in followed), _no_pod(traces, facts)]
    )
    entry = request.entry or {}
    ends = totals(traces, entry, service=service is not None)
    traffics = [
        Traffic(service, endpoints, _senders(trace, facts), trace) for trace in traces if service is not None
    ]
    setting = Setting(
        nodes=facts.cluster.nodes,
        zones=Locator(facts.cluster, {}).zones,
        rules_of=tracer.rules_of,
        silent=_silent(facts),
    )
    return TraceAnswer(
        service=service,
        endpoints=endpoints,
        traces=tuple(traces),
        totals=ends,
        entry=tuple(entry.items()),
        remarks=(*about, *remarks(service, traffics, ends, setting)),
        diagnostics=diagnostics,
    )


def _no_pod(traces: Sequence[NodeTrace], facts: Facts) -> Diagnostics:
    """Addresses of pod networks that packets end at, and that no pod has: their pods are gone."""
    if not facts.cluster.has("pods"):
        return NONE
    places = Locator(facts.cluster, facts.states)
    ends = {
        outcome.address
        for trace in traces
        for outcome in trace.outcomes
        if outcome.address is not None and outcome.dnat and not (outcome.backend and outcome.backend.listed)
    }
    gone = sorted((address for address in ends if places.without_pod(address)), key=str)
    return warned(
        f"no pod has {address}, an address of {places.at(address, None).node}'s pod network: its pod is gone"
        for address in gone
    )


def _senders(trace: NodeTrace, facts: Facts) -> SenderClass:
    """The class of senders that a packet stands for."""
    packet = trace.packet
    if packet.local:
        return "process"
    if trace.via == "clusterip" or facts.cluster.node_of(packet.src) is not None:
        return "pod"
    return "outside"


def _silent(facts: Facts) -> frozenset[str]:
    """Nodes whose kube-proxy did not answer on its status port, if others' did."""
    answers = {name: state.proxy_answers for name, state in facts.states.items()}
    if not any(answers.values()):
        return frozenset()
    return frozenset(name for name, answer in answers.items() if answer is False)


def packets(answer: TraceAnswer) -> Iterator[tuple[Packet, str]]:
    """The packets of an answer for a capture: each as it enters, then as it leaves on each branch."""
    for trace in answer.traces:
        yield trace.packet, f"enters at {trace.node}"
        for outcome in trace.outcomes:
            if outcome.to is not None:
                yield (
                    outcome.ways[0].packet,
                    f"leaves {trace.node}: {exact_text(outcome.bounds[0])[0]} of the packets",
                )
