"""The document of flows: each connection once, at the node that translated it, and counts by endpoint."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kinspect.model.answer import Via
from kinspect.model.cluster import EndpointOwner, ServicePort
from kinspect.model.flows import Flow, FlowsAnswer, FlowsRow, ServiceKey, Stale
from kinspect.report.document import Document, ServiceName, exit_code, opened

Seconds = Annotated[int | None, Meta(description="Seconds; null if that is not known.")]
Count = Annotated[int | None, Meta(description="Of both directions; null if the node does not count.")]
Counts = Annotated[dict[str, int], Meta(description="Numbers of connections.")]


class FlowService(ServiceName, kw_only=True):
    """A service and its port, by name or else by number."""

    port: str | None


class FlowEnd(msgspec.Struct, kw_only=True):
    """The owner of an address, as far as the API knows."""

    namespace: str | None
    pod: str | None
    node: str | None


class TrackedFlow(msgspec.Struct, kw_only=True):
    """A connection."""

    node: Annotated[str, Meta(description="The node that translated it.")]
    protocol: str
    src: Annotated[str, Meta(description="The client's own address.")]
    sport: int | None
    dst: Annotated[str, Meta(description="What the client opened the connection to.")]
    dport: int | None
    to: Annotated[str, Meta(description="The address and port that its packets go to.")]
    snat: Annotated[
        str | None, Meta(description="The source address that they have there; null: the client's.")
    ]
    state: Annotated[str | None, Meta(description="The protocol's; null if it has none.")]
    closing: Annotated[bool, Meta(description="Whether it is about to end: it counts as no traffic.")]
    assured: bool
    replied: bool
    offloaded: bool
    timeout: Seconds
    idle: Seconds
    packets: Count
    bytes: Count
    service: Annotated[
        FlowService | None, Meta(description="null if the API has no service at that address.")
    ]
    via: Via | None
    endpoint: FlowEnd | None
    client: FlowEnd | None
    stale: Stale | None


class FlowCount(msgspec.Struct, kw_only=True):
    """The connections of one service port to one endpoint; closing ones are not in the other numbers."""

    service: FlowService | None
    protocol: str
    to: str
    endpoint: FlowEnd | None
    connections: int
    closing: int
    states: Counts
    entered: Counts
    idle: Annotated[int | None, Meta(description="The longest, in seconds; null if that is not known.")]
    stale: Counts


class FlowsDocument(Document, kw_only=True):
    """The answer of kinspect flows."""

    kind: Literal["Flows"] = "Flows"
    flows: list[TrackedFlow]
    summary: list[FlowCount]
    nodes: Annotated[list[str], Meta(description="Those whose tables were read.")]
    direct: Annotated[
        int, Meta(description="Connections straight to an endpoint's address, not listed without --to.")
    ]


def flows_document(answer: FlowsAnswer) -> FlowsDocument:
    """The document of an answer."""
    return FlowsDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened(answer.undetermined),
        warnings=list(answer.warnings),
        flows=[_flow(flow) for flow in answer.flows],
        summary=[_row(row) for row in answer.rows],
        nodes=list(answer.nodes),
        direct=answer.direct,
    )


def _flow(flow: Flow) -> TrackedFlow:
    return TrackedFlow(
        node=flow.node,
        protocol=flow.protocol,
        src=flow.src,
        sport=flow.sport,
        dst=flow.dst,
        dport=flow.dport,
        to=flow.to,
        snat=flow.snat,
        state=flow.state,
        closing=flow.closing,
        assured=flow.assured,
        replied=flow.replied,
        offloaded=flow.offloaded,
        timeout=flow.timeout,
        idle=flow.idle,
        packets=flow.packets,
        bytes=flow.bytes,
        service=_service(flow.service, flow.port),
        via=flow.via,
        endpoint=_owner(flow.endpoint),
        client=_owner(flow.client),
        stale=flow.stale,
    )


def _row(row: FlowsRow) -> FlowCount:
    return FlowCount(
        service=_service(row.service, row.port),
        protocol=row.protocol,
        to=row.to,
        endpoint=_owner(row.endpoint),
        connections=row.connections,
        closing=row.closing,
        states=dict(row.states),
        entered=dict(row.entered),
        idle=row.idle,
        stale=dict(row.stale),
    )


def _service(key: ServiceKey | None, port: ServicePort | None) -> FlowService | None:
    if key is None:
        return None
    return FlowService(
        namespace=key[0], name=key[1], port=(port.name or str(port.port)) if port is not None else None
    )


def _owner(owner: EndpointOwner) -> FlowEnd | None:
    if owner.pod is None and owner.node is None:
        return None
    return FlowEnd(namespace=owner.namespace if owner.pod else None, pod=owner.pod, node=owner.node)
