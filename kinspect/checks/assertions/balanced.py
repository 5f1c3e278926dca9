"""``balanced``: entered equally at all nodes, each endpoint gets its fair share within a tolerance.

A node that sends nothing by a way in, as under policy Local without an endpoint of its own, is
left out: balancers' health checks avoid it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from kinspect.checks.common import STEP, backend_of, destination, elsewhere, endpoints_of, found, may_be, sent
from kinspect.model.check import Balanced, Finding, Uneven
from kinspect.model.cluster import EndpointOwner
from kinspect.model.odds import ZERO
from kinspect.model.packet import SocketAddress
from kinspect.model.traffic import Traffic


def balanced(claim: Balanced, traffics: Iterable[Traffic]) -> Iterator[Finding]:
    """Endpoints that get too much or too little of a way in."""
    groups: dict[tuple[object, ...], list[Traffic]] = {}
    for traffic in traffics:
        trace = traffic.trace
        front = trace.packet.dport if trace.via == "nodeport" else (trace.packet.dst, trace.packet.dport)
        key = (trace.via, trace.port, front, trace.family, traffic.sources)
        groups.setdefault(key, []).append(traffic)
    for group in groups.values():
        yield from _of_way(claim, group)


def _of_way(claim: Balanced, group: Sequence[Traffic]) -> Iterator[Finding]:
    least: dict[SocketAddress, Fraction] = {}
    most: dict[SocketAddress, Fraction] = {}
    backends: dict[SocketAddress, EndpointOwner | None] = {}
    entered = []
    for traffic in group:
        for outcome in may_be(traffic.trace.outcomes):
            unsure = elsewhere(traffic, outcome)
            if unsure is not None:
                yield unsure
        outcomes = [o for o in may_be(traffic.trace.outcomes) if sent(traffic, o)]
        if outcomes:
            entered.append(traffic)
        for outcome in outcomes:
            to = destination(outcome)
            least[to] = least.get(to, ZERO) + outcome.bounds[0]
            most[to] = most.get(to, ZERO) + outcome.bounds[1]
            backends.setdefault(to, outcome.backend)
        for endpoint in endpoints_of(traffic):
            if endpoint.ready:
                to = SocketAddress(endpoint.address, endpoint.port)
                backends.setdefault(to, backend_of(endpoint))
    if not entered:
        return
    fair = Fraction(1, len(backends))
    slack = max(fair * claim.tolerance, STEP * len(backends))
    for to, backend in backends.items():
        low, high = least.get(to, ZERO) / len(entered), most.get(to, ZERO) / len(entered)
        if fair - slack <= low and high <= fair + slack:
            continue
        maybe = low <= fair + slack and high >= fair - slack
        for traffic in entered:
            problem = Uneven(to, backend, (low, high), fair)
            yield found(traffic, problem, standing="undetermined" if maybe else "violated")
