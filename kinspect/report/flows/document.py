"""The JSON and YAML document of ``kinspect flows``: a contract, to which fields are only ever added.

Its fields::

    apiVersion    kinspect/v1
    kind          Flows
    exitCode      0, 1 or 3, as the process ends
    flows         each connection once, at the node that translated it:
        node          that node
        protocol      tcp, udp, sctp
        src, sport    the client's own address and port
        dst, dport    what it opened the connection to
        to            address and port that its packets go to
        snat          the source address that they have there; null if it is the client's
        state         the protocol's; null where it has none. A closing one is no traffic any more
        closing       whether it is one of those
        assured, replied, offloaded   as the kernel marks it
        timeout, idle seconds; null where that is not known
        packets, bytes   of both directions; null where the node does not count them
        service       namespace, name, port; null if the API has no service at that address
        via           nodeport | clusterip | loadbalancer | externalip, or null
        endpoint      namespace, pod, node: of the address in ``to``; null where nothing is known of it
        client        the same of ``src``
        stale         endpoint-gone | not-by-rules | untranslated, or null
    summary       each service port and endpoint: service, protocol, to, endpoint, connections, closing,
                  states, entered, idle (the longest), stale
    nodes         those whose tables were read
    direct        connections straight to an endpoint's address, which are not listed without --to
    undetermined  what is not known: code, text, node, answeredBy (what would settle it)
    warnings      lines of text
"""

from __future__ import annotations

from typing import Any

from kinspect.model.cluster import EndpointOwner, ServicePort
from kinspect.model.diagnostics import Undetermined
from kinspect.model.flows import Flow, FlowsAnswer, FlowsRow, ServiceKey
from kinspect.report.trace.document import API_VERSION


def flows_document(answer: FlowsAnswer) -> dict[str, Any]:
    """The answer as plain data."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Flows",
        "exitCode": int(answer.exit_code),
        "flows": [_flow(flow) for flow in answer.flows],
        "summary": [_row(row) for row in answer.rows],
        "nodes": list(answer.nodes),
        "direct": answer.direct,
        "undetermined": [_unknown(one) for one in answer.undetermined],
        "warnings": list(answer.warnings),
    }


def _flow(flow: Flow) -> dict[str, Any]:
    return {
        "node": flow.node,
        "protocol": flow.protocol,
        "src": flow.src,
        "sport": flow.sport,
        "dst": flow.dst,
        "dport": flow.dport,
        "to": flow.to,
        "snat": flow.snat,
        "state": flow.state,
        "closing": flow.closing,
        "assured": flow.assured,
        "replied": flow.replied,
        "offloaded": flow.offloaded,
        "timeout": flow.timeout,
        "idle": flow.idle,
        "packets": flow.packets,
        "bytes": flow.bytes,
        "service": _service(flow.service, flow.port),
        "via": flow.via,
        "endpoint": _owner(flow.endpoint),
        "client": _owner(flow.client),
        "stale": flow.stale,
    }


def _row(row: FlowsRow) -> dict[str, Any]:
    return {
        "service": _service(row.service, row.port),
        "protocol": row.protocol,
        "to": row.to,
        "endpoint": _owner(row.endpoint),
        "connections": row.connections,
        "closing": row.closing,
        "states": dict(row.states),
        "entered": dict(row.entered),
        "idle": row.idle,
        "stale": dict(row.stale),
    }


def _unknown(one: Undetermined) -> dict[str, Any]:
    return {"code": one.code, "text": one.text, "node": one.node, "answeredBy": one.answered_by}


def _service(key: ServiceKey | None, port: ServicePort | None) -> dict[str, Any] | None:
    if key is None:
        return None
    return {"namespace": key[0], "name": key[1], "port": port and (port.name or str(port.port))}


def _owner(owner: EndpointOwner) -> dict[str, Any] | None:
    if owner.pod is None and owner.node is None:
        return None
    return {"namespace": owner.namespace if owner.pod else None, "pod": owner.pod, "node": owner.node}
