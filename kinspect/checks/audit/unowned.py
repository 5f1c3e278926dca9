"""Frontends that a node's rules know and no service of the API owns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kinspect.checks.audit.traffic import way_of
from kinspect.checks.common import cited, may_be, sent
from kinspect.model.answer import Outcome
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.traffic import Traffic

UNOWNED: Final = FindingKind(
    code="KI114",
    title="service that the API does not have",
    severity=Severity.ERROR,
    depends=frozenset({"rules", "ends"}),
    means="A node's rules still send traffic for a service, or for a port or address of one, that the API does"
    " not have: it was deleted or changed, and the node's kube-proxy has not followed. Clients that use the old"
    " frontend at this node still reach the old endpoints.",
    todo="Check kube-proxy on the listed nodes: is it running, does it reach the API? If the finding is gone when"
    " you run this again, a change was under way.",
    look=("kubectl get services -A", "iptables-save -t nat | grep NAMESPACE/SERVICE"),
    settles=True,
)
KINDS: Final = (UNOWNED,)


def unowned(traffic: Traffic) -> Iterator[Observation]:
    """Where traffic to such a frontend goes."""
    for outcome in may_be(traffic.trace.outcomes):
        if sent(traffic, outcome):
            rule = cited(outcome)
            yield Observation(
                kind=UNOWNED,
                text=f"{way_of(traffic)} sends to {outcome.to}{_owner(outcome)}, and no service of the API has it",
                service=traffic.service.key,
                nodes=(traffic.trace.node,),
                ways=(way_of(traffic),),
                evidence=(rule,) if rule else (),
                questions=outcome.weight.questions() if outcome.weight.exact is None else (),
            )


def _owner(outcome: Outcome) -> str:
    node = outcome.backend.node if outcome.backend else None
    return f" on {node}" if node else ""
