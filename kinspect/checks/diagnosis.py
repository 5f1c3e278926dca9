"""Why traffic does not go where the API says: one diagnosis for trace, check and audit.

It is based on what happened to the packets, never from what kube-proxy usually does: a cause is named only if
the packet's way or the node's rules show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

from kinspect.checks.common import cited, endpoints_of, expected_of, may_be, sent
from kinspect.kubeproxy import names
from kinspect.kubeproxy.endpoints import Zones, cluster_sets, local_set, policy_of
from kinspect.model.answer import OUTSIDE, Outcome
from kinspect.model.cause import (
    BehindApi,
    Cause,
    EndedByRouting,
    EndedByRule,
    HintsApply,
    NotServed,
    OldPolicy,
    RefusedByProxy,
    RuleReference,
    TakenFirst,
)  # fmt: skip
from kinspect.model.cluster import Endpoint
from kinspect.model.packet import CtState, endpoint_text
from kinspect.model.rules import ChainName, Rule, Ruleset, Verdict
from kinspect.model.trace import ChainPolicy, Matched, Routed, Way
from kinspect.model.traffic import Traffic

# Words of kube-proxy's own comments on rules that refuse (pkg/proxy/iptables/proxier.go).
_REFUSALS: Final[tuple[tuple[str, Literal["no-endpoints", "no-local-endpoints", "source-ranges"]], ...]] = (
    ("has no local endpoints", "no-local-endpoints"),
    ("has no endpoints", "no-endpoints"),
    ("traffic not accepted by", "source-ranges"),
)


def why_nothing_goes_to(
    endpoint: Endpoint, traffic: Traffic, zones: Zones, rulesets: Sequence[Ruleset]
) -> Cause:
    """Why an endpoint that the API lists gets no share of some traffic."""
    dead = [way for way in _ways(traffic) if way.verdict is not Verdict.ACCEPT]
    for way in dead:
        if way.packet.dnat and (way.packet.dst, way.packet.dport) == (endpoint.address, endpoint.port):
            return why_ended(way, traffic, rulesets)
    foreign = _taken_first(traffic)
    if foreign is not None:
        return foreign
    if _hinted_away(traffic, zones):
        return HintsApply()
    old = old_policy(traffic)
    if old is not None:
        return old
    undirected = [way for way in dead if not way.packet.dnat]
    if undirected:
        return why_ended(undirected[0], traffic, rulesets)
    unsent = [o for o in may_be(traffic.trace.outcomes) if not sent(traffic, o)]
    if unsent:
        return why_not_served(traffic, unsent[0], rulesets)
    return BehindApi()


def why_sent_there(traffic: Traffic, outcome: Outcome) -> Cause:
    """Why traffic goes to an address that the API does not list."""
    rule = cited(outcome)
    if rule is not None and not names.is_kube(rule.chain):
        return TakenFirst(rule)
    return old_policy(traffic) or BehindApi()


def why_ended(way: Way, traffic: Traffic, rulesets: Sequence[Ruleset]) -> Cause:
    """What ended the packets of a way."""
    refusal = _refusal(way)
    if refusal is not None:
        rule, why = refusal
        knows = why == "no-local-endpoints" and _knows_local(traffic, rulesets)
        return RefusedByProxy(why, rule, knows)
    for event in reversed(way.events()):
        match event:
            case Matched(place, last):
                reference = RuleReference(place.source, last.line, place.table, last.chain, last.text)
                return EndedByRule(way.verdict, reference)
            case ChainPolicy(place, chain):
                text = f"-P {chain} {event.verdict.value}"
                return EndedByRule(way.verdict, RuleReference(place.source, None, place.table, chain, text))
            case Routed(where, dropped=True):
                return EndedByRouting(way.verdict, where)
            case Routed():
                continue
    return EndedByRouting(way.verdict, "no rule ended it")


def why_not_served(traffic: Traffic, outcome: Outcome, rulesets: Sequence[Ruleset]) -> NotServed:
    """Why no rule took a frontend: the packet kept its destination."""
    packet = traffic.trace.packet
    way = outcome.ways[0]
    if way.packet.state is CtState.UNTRACKED and packet.state is not CtState.UNTRACKED:
        return NotServed("untracked", str(packet.dst), here=way.delivered)
    entered = _entered_chains(way)
    if names.SERVICES not in entered:
        hook = "OUTPUT" if packet.local else "PREROUTING"
        return NotServed("no-jump", hook)
    leading = [chain for chain in entered if chain.startswith((*names.LEADING_TO_ENDPOINTS, names.ENDPOINT))]
    for chain in reversed(leading):
        for rules in rulesets:
            found = rules.chain(names.NAT, ChainName(chain))
            if found is not None and found.empty:
                return NotServed("empty-chain", chain)
    if traffic.trace.via == "nodeport" and _has_node_port(traffic, rulesets):
        return NotServed("not-this-address", str(packet.dst))
    return NotServed("unknown", endpoint_text(packet.dst, packet.dport))


def answered_on_the_node(why: NotServed) -> bool:
    """Whether the node itself answers instead of the service, as NodeLocal DNSCache does."""
    return why.why == "untracked" and why.here is True


def old_policy(traffic: Traffic) -> OldPolicy | None:
    """The traffic policy that kube-proxy's rules follow, if it differs from the service's.

    Only if the chains are those of the other policy, and lead where that policy would.
    """
    trace = traffic.trace
    if trace.via in OUTSIDE and traffic.sources != "outside":
        return None  # pods and the node itself are sent to all endpoints under either policy
    policy = policy_of(traffic.service, trace.via)
    chains = {chain for way in _ways(traffic) for chain in _entered_chains(way)}
    local = any(chain.startswith((names.LOCAL, names.OLD_LOCAL)) for chain in chains)
    spread = any(chain.startswith(names.SERVICE) for chain in chains)
    reached = {(way.packet.dst, way.packet.dport) for way in _ways(traffic) if way.packet.dnat}
    endpoints = endpoints_of(traffic)
    if policy == "Cluster" and local and not spread:
        return OldPolicy("Local") if reached == local_set(endpoints, trace.node).addresses else None
    if policy == "Local" and spread and not local:
        sets = cluster_sets(endpoints, trace.node, None)
        return OldPolicy("Cluster") if any(reached == each.addresses for each in sets) else None
    return None


def _ways(traffic: Traffic) -> Iterator[Way]:
    for outcome in may_be(traffic.trace.outcomes):
        yield from outcome.ways


def _taken_first(traffic: Traffic) -> TakenFirst | None:
    """The rule, not kube-proxy's, that rewrites everything that is sent anywhere.

    Packets that were dropped on the way count, too: what took them first is still the cause.
    """
    rewritten = [way for way in _ways(traffic) if way.packet.dnat]
    rules = [_binding(way) for way in rewritten]
    if not rules or any(rule is None or names.is_kube(rule.chain) for rule in rules):
        return None
    return TakenFirst(rules[0])


def _binding(way: Way) -> RuleReference | None:
    """The rule that rewrote a packet's destination: the last one of nat before routing."""
    for event in reversed(way.events()):
        if (
            isinstance(event, Matched)
            and event.place.table == names.NAT
            and event.place.hook in ("PREROUTING", "OUTPUT")
        ):
            rule = event.rule
            return RuleReference(event.place.source, rule.line, event.place.table, rule.chain, rule.text)
    return None


def _hinted_away(traffic: Traffic, zones: Zones) -> bool:
    """Whether the reached endpoints are exactly those of the topology hints."""
    reached = {(o.address, o.port) for o in traffic.trace.outcomes if sent(traffic, o)}
    _, *narrowed = expected_of(traffic, zones)
    hinted = any(e.for_zones or e.for_nodes for e in endpoints_of(traffic))
    return hinted and any(answer.addresses == reached for answer in narrowed)


def _refusal(
    way: Way,
) -> tuple[RuleReference, Literal["no-endpoints", "no-local-endpoints", "source-ranges"]] | None:
    """The rule of kube-proxy that says why it refuses; older releases mark first and drop later."""
    for event in reversed(way.events()):
        if isinstance(event, Matched) and names.is_kube(event.rule.chain):
            for words, why in _REFUSALS:
                if words in event.rule.text:
                    place, rule = event.place, event.rule
                    found = RuleReference(place.source, rule.line, place.table, rule.chain, rule.text)
                    return found, why
    return None


def _knows_local(traffic: Traffic, rulesets: Sequence[Ruleset]) -> bool:
    """Whether the node's rules have the chain of an endpoint that the API says is on the node."""
    here = [e for e in endpoints_of(traffic) if e.ready and e.node == traffic.trace.node]
    return any(_has_endpoint(e, traffic, rulesets) for e in here)


def _has_endpoint(endpoint: Endpoint, traffic: Traffic, rulesets: Sequence[Ruleset]) -> bool:
    namespace, service = traffic.service.key
    name = names.service_port_name(namespace, service, endpoint.port_name)
    chain = names.endpoint_chain(name, endpoint.protocol, endpoint.address, endpoint.port)
    return any(rules.holds(names.NAT, chain) for rules in rulesets)


def _has_node_port(traffic: Traffic, rulesets: Iterable[Ruleset]) -> bool:
    port = traffic.trace.packet.dport
    return any(
        f"--dport {port} " in f"{text} "
        for rules in rulesets
        for _, text in rules.lines(names.NAT, names.NODEPORTS)
    )


def _entered_chains(way: Way) -> list[str]:
    """The chains of nat that a packet entered before its destination was decided, in order."""
    return [
        chain
        for event in way.events()
        if isinstance(event, Matched)
        and event.place.table == names.NAT
        and event.place.hook in ("PREROUTING", "OUTPUT")
        for chain in _entered(event.rule)
    ]


def _entered(rule: Rule) -> list[str]:
    """The chain that a rule is in, and the one that it leads to."""
    led = getattr(rule.target, "chain", None)
    return [rule.chain, led] if isinstance(led, str) else [rule.chain]
