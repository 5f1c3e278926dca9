"""``drained`` and ``no-traffic``: nothing new is sent to some nodes, pods or addresses.

Traffic that may get there is undetermined, never a pass. DaemonSet pods, which stay on a drained
node by design, and endpoints that get traffic because only terminating ones are left are reported
apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

from kinspect.checks.common import (
    Locate,
    destination,
    elsewhere,
    endpoints_of,
    found,
    listed,
    may_be,
    sent,
    standing_of,
    way_in,
)
from kinspect.kubeproxy.endpoints import Zones, used_although_terminating
from kinspect.model.answer import Outcome
from kinspect.model.check import Avoided, Finding, NoTraffic, Reaches, Unplaced
from kinspect.model.traffic import Traffic

OfDaemonSet = Callable[[Traffic, Outcome], bool]


def no_traffic(
    claim: NoTraffic,
    avoided: Avoided,
    traffics: Iterable[Traffic],
    locate: Locate,
    of_daemon_set: OfDaemonSet,
    zones: Zones,
) -> Iterator[Finding]:
    """Traffic that reaches, or may reach, a destination that should get none."""
    for traffic in traffics:
        for outcome in may_be(traffic.trace.outcomes):
            unsure = elsewhere(traffic, outcome)
            if unsure is not None:
                yield unsure
            elif sent(traffic, outcome):
                place = _place(avoided, traffic, outcome, locate)
                if place == "unknown":
                    problem = Unplaced(destination(outcome), outcome.bounds)
                    yield found(traffic, problem, outcome, "undetermined")
                elif place is not None:
                    exempt = place == "node" and of_daemon_set(traffic, outcome)
                    yield _reached(claim, traffic, outcome, exempt, zones)


def _place(
    avoided: Avoided, traffic: Traffic, outcome: Outcome, locate: Locate
) -> Literal["named", "node", "unknown"] | None:
    """Whether an outcome ends where none should; ``named``: at a pod or address that was named."""
    backend = outcome.backend
    if outcome.address in avoided.addresses or (
        backend is not None and (backend.namespace, backend.pod) in avoided.pods
    ):
        return "named"
    if not avoided.nodes:
        return None
    location = locate(traffic, outcome)
    if not location.known:
        return "unknown"
    return "node" if location.node in avoided.nodes else None


def _reached(claim: NoTraffic, traffic: Traffic, outcome: Outcome, daemon_set: bool, zones: Zones) -> Finding:
    endpoint = listed(traffic, outcome)
    standing = standing_of(outcome.bounds)
    what: Literal["endpoint", "unlisted", "unowned", "terminating", "daemonset"] = "endpoint"
    if daemon_set:
        what = "daemonset"
        standing = standing if claim.include_daemonsets else "excused"
    elif not traffic.service.in_api:
        what = "unowned"
    elif endpoint is None:
        what = "unlisted"
    elif endpoint.terminating and used_although_terminating(
        way_in(traffic, zones), endpoints_of(traffic), endpoint
    ):
        what = "terminating"
        standing = "excused" if claim.allow_terminating else standing
    return found(
        traffic, Reaches(destination(outcome), outcome.backend, outcome.bounds, what), outcome, standing
    )
