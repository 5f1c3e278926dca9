"""Why traffic does not go where the API says: causes, as data. ``report`` has the wording.

One diagnosis (``checks.diagnosis``) finds them for trace, check and audit.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from kinspect.model.cluster import TrafficPolicy
from kinspect.model.rules import Verdict


class RuleReference(msgspec.Struct, frozen=True):
    """A rule and where it is: ``line`` is None for a chain's policy."""

    source: str
    line: int | None
    table: str
    chain: str
    text: str


class BehindApi(msgspec.Struct, frozen=True):
    """kube-proxy's rules are older than the API's state: kube-proxy is behind, or stopped."""


class OldPolicy(msgspec.Struct, frozen=True):
    """kube-proxy's rules still follow another traffic policy than the service has now."""

    follows: TrafficPolicy


class HintsApply(msgspec.Struct, frozen=True):
    """Topology hints keep the traffic on other endpoints, as the API says."""


class TakenFirst(msgspec.Struct, frozen=True):
    """A rule that is not kube-proxy's rewrites the destination first."""

    rule: RuleReference | None


class RefusedByProxy(msgspec.Struct, frozen=True):
    """A rule of kube-proxy refuses.

    ``knows``: the same dump has the endpoint's chain, so kube-proxy knows of the endpoint. With
    "no-local-endpoints" it then considers the endpoint another node's: its node name differs from
    the API's (--hostname-override).
    """

    why: Literal["no-endpoints", "no-local-endpoints", "source-ranges"]
    rule: RuleReference
    knows: bool = False


class EndedByRule(msgspec.Struct, frozen=True):
    """A rule or a policy that is not part of load balancing ends the packets."""

    verdict: Verdict
    rule: RuleReference


class EndedByRouting(msgspec.Struct, frozen=True):
    """The node's routing ends the packets; ``why`` in words, such as that ip_forward is 0."""

    verdict: Verdict
    why: str


class NotServed(msgspec.Struct, frozen=True):
    """No rule takes the frontend at this node.

    ``untracked``: a rule of the raw table keeps the packets out of nat (NodeLocal DNSCache), and
    ``here`` says whether the node has the address. ``no-jump``: nothing leads to kube-proxy's
    rules. ``empty-chain``: the service's chain exists but is empty. ``not-this-address``: the rule
    for the NodePort exists, but not for this address of the node (nodePortAddresses).
    ``unknown``: there is no rule for the frontend.
    """

    why: Literal["untracked", "no-jump", "empty-chain", "not-this-address", "unknown"]
    detail: str = ""  # the chain, or the address
    here: bool | None = None


Cause: TypeAlias = (
    BehindApi
    | OldPolicy
    | HintsApply
    | TakenFirst
    | RefusedByProxy
    | EndedByRule
    | EndedByRouting
    | NotServed
)
