"""``--observe``: between two readings no traffic moved to where none should go.

Four signs of traffic: a connection that was not there before; packets of one, if the node counts them
(nf_conntrack_acct); a timeout that started again, as it does with each packet; a counter of a rule that
sends there. A connection without any readable sign is not known to be quiet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from kinspect.model.check import Finding, Observed, ServiceKey
from kinspect.model.flows import Flow

Counted: TypeAlias = Mapping[tuple[str, str, str], int]
"""Packets that rules counted: by node, rule, and the address that it sends to."""

_Sign: TypeAlias = Literal["opened", "packets", "refreshed", "unseen"]

_SLACK: Final = 2  # seconds by which two readings of a timeout may be off


def observed(
    before: Sequence[Flow], after: Sequence[Flow], seconds: float, rules: tuple[Counted, Counted]
) -> Iterator[Finding]:
    """Connections that should not exist and moved between two readings, at least ``seconds`` apart."""
    known = {_tuple(flow): flow for flow in before}
    seen: Counter[tuple[ServiceKey | None, _Sign, str, str]] = Counter()
    for flow in after:
        sign, amount = _sign(known.get(_tuple(flow)), flow, seconds)
        if sign is not None:
            seen[flow.service, sign, flow.node, flow.to] += amount
    for (service, sign, node, to), amount in seen.items():
        yield _found(service, Observed(sign, node, to, amount))
    sent: Counter[tuple[str, str]] = Counter()
    for (node, rule, to), packets in rules[1].items():
        # A counter that fell was reset when its rule was rewritten: it has counted since then.
        was = rules[0].get((node, rule, to), 0)
        sent[node, to] += packets - was if packets >= was else packets
    for (node, to), amount in sent.items():
        if amount:
            yield _found(None, Observed("counted", node, to, amount))


def _sign(was: Flow | None, flow: Flow, seconds: float) -> tuple[_Sign | None, int]:
    """The sign of traffic that a connection shows, and the amount."""
    if was is None:
        return "opened", 1
    if flow.packets is not None and was.packets is not None:
        return ("packets", flow.packets - was.packets) if flow.packets != was.packets else (None, 0)
    if flow.timeout is None or was.timeout is None or flow.state != was.state:
        return ("unseen", 1) if flow.state == was.state else ("refreshed", 1)
    # Without a packet a timeout only runs down, by at least the time between the readings.
    return ("refreshed", 1) if flow.timeout > was.timeout - seconds + _SLACK else (None, 0)


def _tuple(flow: Flow) -> tuple[object, ...]:
    return flow.protocol, flow.src, flow.sport, flow.dst, flow.dport, flow.to


def _found(service: ServiceKey | None, problem: Observed) -> Finding:
    standing: Literal["violated", "undetermined"] = "undetermined" if problem.what == "unseen" else "violated"
    return Finding(service=service, entry=None, policy="Cluster", problem=problem, standing=standing)
