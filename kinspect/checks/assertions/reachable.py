"""``reachable``: all traffic of the scope arrives, and at least so many endpoints get some of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kinspect.checks.common import elsewhere, found, listed, may_be, sent, standing_of
from kinspect.model.check import (
    Finding,
    NoWay,
    Reachable,
    Refused,
    TooFew,
    Unhandled,
)  # fmt: skip
from kinspect.model.cluster import Service
from kinspect.model.rules import Verdict
from kinspect.model.traffic import Traffic


def reachable(claim: Reachable, traffics: Iterable[Traffic]) -> Iterator[Finding]:
    """The traffic that does not arrive."""
    for traffic in traffics:
        sure, possible = set(), set()
        for outcome in may_be(traffic.trace.outcomes):
            share = outcome.bounds
            unsure = elsewhere(traffic, outcome)
            if unsure is not None:
                yield unsure
            elif outcome.verdict is not Verdict.ACCEPT:
                yield found(traffic, Refused(outcome.verdict, share), outcome, standing_of(share))
            elif not sent(traffic, outcome):
                yield found(traffic, Unhandled(share), outcome, standing_of(share))
            elif listed(traffic, outcome) is not None:
                possible.add((outcome.address, outcome.port))
                if share[0] > 0:
                    sure.add((outcome.address, outcome.port))
        if len(sure) < claim.at_least:
            enough = len(possible) >= claim.at_least
            problem = TooFew(len(possible), claim.at_least)
            yield found(traffic, problem, standing="undetermined" if enough else "violated")


def no_way(service: Service, *, all_followed: bool) -> Finding:
    """A service without any traffic to follow: that is not a success."""
    return Finding(
        service=service.key,
        entry=None,
        policy="Cluster",
        problem=NoWay(),
        standing="violated" if all_followed else "undetermined",
    )
