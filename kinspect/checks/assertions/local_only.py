"""``local-only``: nothing leaves the node that it entered at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kinspect.checks.common import Locate, destination, elsewhere, found, may_be, sent, standing_of
from kinspect.model.check import Crosses, Finding, Unplaced
from kinspect.model.traffic import Traffic


def local_only(traffics: Iterable[Traffic], locate: Locate) -> Iterator[Finding]:
    """Traffic that crosses nodes, or may."""
    for traffic in traffics:
        for outcome in may_be(traffic.trace.outcomes):
            unsure = elsewhere(traffic, outcome)
            if unsure is not None:
                yield unsure
            elif sent(traffic, outcome):
                to, share = destination(outcome), outcome.bounds
                location = locate(traffic, outcome)
                if not location.known:
                    yield found(traffic, Unplaced(to, share), outcome, "undetermined")
                elif location.node != traffic.trace.node:
                    problem = Crosses(to, outcome.backend, share, location.node)
                    yield found(traffic, problem, outcome, standing_of(share))
