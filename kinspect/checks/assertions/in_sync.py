"""``in-sync``: every node sends exactly to the endpoints that the API lists, in equal shares.

Equal within the kernel's precision: a probability is a number of 2**31 draws, and each of the rules on
the way to an endpoint may be off by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import TypeAlias

from kinspect.checks.common import (
    STEP,
    RulesOf,
    backend_of,
    destination,
    elsewhere,
    expected_of,
    found,
    masquerading,
    may_be,
    sent,
    share_of,
    standing_of,
)
from kinspect.checks.diagnosis import (
    answered_on_the_node,
    why_ended,
    why_not_served,
    why_nothing_goes_to,
    why_sent_there,
)
from kinspect.kubeproxy.endpoints import EndpointSet, Zones, policy_of
from kinspect.model.answer import OUTSIDE, Bounds, Outcome
from kinspect.model.cause import EndedByRouting, EndedByRule
from kinspect.model.check import (
    Finding,
    Masqueraded,
    NotMasqueraded,
    Problem,
    Refused,
    Uneven,
    Unexpected,
    Unhandled,
    Unserved,
)  # fmt: skip
from kinspect.model.cluster import Endpoint
from kinspect.model.packet import Address, SocketAddress
from kinspect.model.rules import Ruleset, Verdict
from kinspect.model.traffic import Traffic

End: TypeAlias = tuple[Address | None, int | None]
"""Where an outcome ends: address and port."""


def in_sync(traffics: Iterable[Traffic], zones: Zones, rules_of: RulesOf) -> Iterator[Finding]:
    """How the rules differ from the API."""
    for traffic in traffics:
        if traffic.service.other_proxy:
            continue  # kube-proxy leaves it alone
        answers = [_compared(traffic, answer, zones, rules_of) for answer in expected_of(traffic, zones)]
        # One right answer that fits is enough. If none does, the one that differs least was
        # meant: rules that follow topology hints differ from it by a rule that drops, say.
        if all(answers):
            undecided = [a for a in answers if all(f.standing == "undetermined" for f in a)]
            yield from undecided[0] if undecided else min(answers, key=len)


def _compared(traffic: Traffic, answer: EndpointSet, zones: Zones, rules_of: RulesOf) -> list[Finding]:
    """Differences from one right answer; shares only if the endpoints are right."""
    ends: dict[End, list[Outcome]] = {}
    findings: list[Finding] = []
    rulesets = rules_of(traffic.trace.node, traffic.trace.family)
    for outcome in may_be(traffic.trace.outcomes):
        unsure = elsewhere(traffic, outcome)
        if unsure is not None:
            findings.append(unsure)
        elif sent(traffic, outcome):
            ends.setdefault((outcome.address, outcome.port), []).append(outcome)
        elif answer.endpoints:
            findings += _unsent(traffic, outcome, rulesets)
    wanted: dict[End, Endpoint] = {(e.address, e.port): e for e in answer.endpoints}
    for end, outcomes in ends.items():
        if end not in wanted:
            first, share = outcomes[0], share_of(outcomes)
            unexpected = Unexpected(destination(first), first.backend, share, traffic.service.in_api)
            cause = why_sent_there(traffic, first)
            findings.append(found(traffic, unexpected, first, standing_of(share), cause))
    if ends:  # otherwise the finding above says that nothing is sent at all
        for (address, port), endpoint in wanted.items():
            if (address, port) not in ends:
                to = SocketAddress(endpoint.address, endpoint.port)
                cause = why_nothing_goes_to(endpoint, traffic, zones, rulesets)
                if isinstance(cause, EndedByRule | EndedByRouting):
                    continue  # it was chosen, and a finding already names what ended the packets
                findings.append(found(traffic, Unserved(to, backend_of(endpoint)), cause=cause))
    findings += _sources(traffic, wanted, ends)
    if not any(finding.standing == "violated" for finding in findings):
        for end in (end for end in wanted if end in ends):
            findings += _fair(traffic, ends[end], len(wanted))
    return findings


def _unsent(traffic: Traffic, outcome: Outcome, rulesets: Sequence[Ruleset]) -> Iterator[Finding]:
    share = outcome.bounds
    if outcome.verdict is not Verdict.ACCEPT:
        cause = why_ended(outcome.ways[0], traffic, rulesets)
        yield found(traffic, Refused(outcome.verdict, share), outcome, standing_of(share), cause)
        return
    why = why_not_served(traffic, outcome, rulesets)
    if not answered_on_the_node(why):
        yield found(traffic, Unhandled(share), outcome, standing_of(share), why)


def _sources(
    traffic: Traffic, wanted: Mapping[End, Endpoint], ends: Mapping[End, list[Outcome]]
) -> Iterator[Finding]:
    """Source addresses that are wrong for traffic from outside.

    Under policy Cluster, traffic that crosses to another node must leave with this node's address: else
    the endpoint answers the client directly, and the client drops the answer. Under policy Local the
    client's address must stay.
    """
    trace = traffic.trace
    if trace.via not in OUTSIDE or traffic.sources != "outside":
        return
    local = policy_of(traffic.service, trace.via) == "Local"
    for end, outcomes in ends.items():
        endpoint = wanted.get(end)
        if endpoint is None or endpoint.node is None:
            continue
        for outcome in outcomes:
            to, share = destination(outcome), outcome.bounds
            if not local and endpoint.node != trace.node and outcome.snat is None:
                problem: Problem = NotMasqueraded(to, outcome.backend, share)
                yield found(traffic, problem, outcome, standing_of(share))
            elif local and outcome.snat is not None:
                problem = Masqueraded(to, outcome.backend, share)
                yield found(traffic, problem, outcome, standing_of(share), rule=masquerading(outcome))


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
    """The bounds of a fair share of so many endpoints, as the kernel draws."""
    fair, slack = Fraction(1, endpoints), STEP * endpoints
    return fair - slack, fair + slack
