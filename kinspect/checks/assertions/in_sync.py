"""``in-sync``: every node sends exactly to the endpoints that the API says, in equal shares.

Equal as the kernel can: a probability is a number of 2**31 draws, and each of the rules on the way
to an endpoint may be off by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

from kinspect.checks.common import (
    STEP,
    backend_of,
    destination,
    elsewhere,
    expected_of,
    found,
    may_be,
    sent,
    share_of,
    standing_of,
)
from kinspect.kubeproxy.endpoints import EndpointSet, Zones
from kinspect.model.answer import Bounds, Outcome
from kinspect.model.check import (
    Finding,
    Refused,
    Uneven,
    Unexpected,
    Unhandled,
    Unserved,
)  # fmt: skip
from kinspect.model.cluster import Endpoint
from kinspect.model.packet import Address, SocketAddress
from kinspect.model.rules import Verdict
from kinspect.model.traffic import Traffic

End: TypeAlias = tuple[Address | None, int | None]
"""Where an outcome ends: address and port."""


def in_sync(traffics: Iterable[Traffic], zones: Zones) -> Iterator[Finding]:
    """What the rules do otherwise than the API says."""
    for traffic in traffics:
        if traffic.service.other_proxy:
            continue  # kube-proxy leaves it alone
        answers = [_compared(traffic, answer) for answer in expected_of(traffic, zones)]
        # One right answer that fits is enough; where none does, the likeliest is what was meant.
        if all(answers):
            undecided = [a for a in answers if all(f.standing == "undetermined" for f in a)]
            yield from undecided[0] if undecided else answers[0]


def _compared(traffic: Traffic, answer: EndpointSet) -> list[Finding]:
    """What is otherwise than one right answer; shares only where the endpoints are the right ones."""
    ends: dict[End, list[Outcome]] = {}
    findings = []
    for outcome in may_be(traffic.trace.outcomes):
        unsure = elsewhere(traffic, outcome)
        if unsure is not None:
            findings.append(unsure)
        elif sent(traffic, outcome):
            ends.setdefault((outcome.address, outcome.port), []).append(outcome)
        elif answer.endpoints:
            findings.append(_unsent(traffic, outcome))
    wanted: dict[End, Endpoint] = {(e.address, e.port): e for e in answer.endpoints}
    for end, outcomes in ends.items():
        if end not in wanted:
            first, share = outcomes[0], share_of(outcomes)
            problem = Unexpected(destination(first), first.backend, share)
            findings.append(found(traffic, problem, first, standing_of(share)))
    if ends:  # else it was said above that nothing is sent at all
        for (address, port), endpoint in wanted.items():
            if (address, port) not in ends:
                to = SocketAddress(endpoint.address, endpoint.port)
                findings.append(found(traffic, Unserved(to, backend_of(endpoint))))
    if not any(finding.standing == "violated" for finding in findings):
        for end in (end for end in wanted if end in ends):
            findings += _fair(traffic, ends[end], len(wanted))
    return findings


def _unsent(traffic: Traffic, outcome: Outcome) -> Finding:
    share = outcome.bounds
    if outcome.verdict is Verdict.ACCEPT:
        return found(traffic, Unhandled(share), outcome, standing_of(share))
    return found(traffic, Refused(outcome.verdict, share), outcome, standing_of(share))


def _fair(traffic: Traffic, outcomes: list[Outcome], endpoints: int) -> Iterator[Finding]:
    low, high = share_of(outcomes)
    least, most = _band(endpoints)
    if least <= low and high <= most:
        return
    first = outcomes[0]
    maybe = low <= most and high >= least
    problem = Uneven(destination(first), first.backend, (low, high), Fraction(1, endpoints))
    yield found(traffic, problem, first, "undetermined" if maybe else "violated")


@lru_cache
def _band(endpoints: int) -> Bounds:
    """What a fair share of so many endpoints may be, as the kernel draws."""
    fair, slack = Fraction(1, endpoints), STEP * endpoints
    return fair - slack, fair + slack
