"""Counts connections: one row for each service port and endpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kinspect.model.flows import Flow, FlowsRow


def summary(flows: Iterable[Flow]) -> tuple[FlowsRow, ...]:
    """The rows, those with the most connections of each service first. Closing ones are not counted."""
    groups: dict[tuple[object, ...], list[Flow]] = {}
    for flow in flows:
        number = flow.port.port if flow.port is not None else None
        groups.setdefault((flow.service, number, flow.protocol, flow.to), []).append(flow)
    rows = [_row(found) for found in groups.values()]
    return tuple(
        sorted(rows, key=lambda row: (_service_order(row), -row.connections, row.to_address, row.to))
    )


def _service_order(row: FlowsRow) -> tuple[object, ...]:
    """Services by name; connections to no service last."""
    number = row.port.port if row.port is not None else 0
    return row.service is None, row.service or ("", ""), number, row.protocol


def _row(flows: list[Flow]) -> FlowsRow:
    first = flows[0]
    counted = [flow for flow in flows if not flow.closing]
    idle = [flow.idle for flow in counted if flow.idle is not None]
    return FlowsRow(
        service=first.service,
        port=first.port,
        protocol=first.protocol,
        to=first.to,
        to_address=first.to_address,
        endpoint=first.endpoint,
        connections=len(counted),
        closing=len(flows) - len(counted),
        states=_counted(state_of(flow) for flow in counted),
        entered=_counted(flow.node for flow in counted),
        idle=max(idle, default=None),
        stale=_counted(flow.stale for flow in counted if flow.stale is not None),
    )


def state_of(flow: Flow) -> str:
    """The protocol's state; without states, whether replies were seen."""
    return flow.state or ("replied" if flow.replied else "unreplied")


def _counted(words: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(Counter(words).items(), key=lambda item: (-item[1], item[0])))
