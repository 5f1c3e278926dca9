"""Connections that exist, for ``check``: what an assertion about new ones says of them, or asserts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kinspect.checks.assertions.established import ends_there, entered_there, established, not_known, within
from kinspect.model.answer import OUTSIDE
from kinspect.model.check import (
    Assertion,
    Avoided,
    Existing,
    Finding,
    Note,
    NoTraffic,
    ServiceKey,
    StillWayIn,
)
from kinspect.model.cluster import EndpointOwner, Service
from kinspect.model.flows import Flow
from kinspect.model.packet import Family
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.connections import Connections, read_tables, straight
from kinspect.pipeline.gather.read import Facts
from kinspect.snapshot import types as names
from kinspect.snapshot.types import Snapshot

_OUT_OF_BALANCERS = "node.kubernetes.io/exclude-from-external-load-balancers"


@dataclass(frozen=True, slots=True)
class Asked:
    """An assertion about traffic to some nodes, pods or addresses, as it stands in one cluster."""

    assertion: Assertion
    claim: NoTraffic
    avoided: Avoided
    services: frozenset[ServiceKey]
    addresses: frozenset[str]  # that should get nothing, of pods on the nodes too
    narrowed: bool  # to some services or a namespace, so that connections to none do not count

    def about(self, flows: Sequence[Flow]) -> list[Flow]:
        """The connections that it is about."""
        scope = self.assertion.scope
        return [flow for flow in flows if within(scope, self.services, flow, narrowed=self.narrowed)]

    def watched(self, flows: Sequence[Flow]) -> list[Flow]:
        """Those of them that should not be."""
        return [flow for flow in self.about(flows) if self._watches(flow)]

    def _watches(self, flow: Flow) -> bool:
        return ends_there(self.avoided, flow) or (entered_there(self.avoided, flow) and not flow.own)

    def sends_there(self, destination: str) -> bool:
        """Whether a rule's ``--to-destination`` is where nothing should go."""
        address = destination.rpartition(":")[0].strip("[]") or destination
        return address in self.addresses


def read_existing(
    asked: Sequence[Asked],
    facts: Facts,
    snapshot: Snapshot,
    services: Mapping[ServiceKey, Service],
    nodes: Sequence[str],
    families: Sequence[Family],
) -> Connections | None:
    """The connections, if any assertion is about them or if they were recorded anyway; else None."""
    recorded = any(names.CONNTRACK in files for files in snapshot.nodes.values())
    if not asked or not (recorded or any(one.claim.established for one in asked)):
        return None
    everything = Avoided(
        frozenset().union(*(one.avoided.nodes for one in asked)),
        frozenset().union(*(one.avoided.pods for one in asked)),
        frozenset().union(*(one.avoided.addresses for one in asked)),
    )
    chosen = frozenset[ServiceKey]().union(*(one.services for one in asked))
    return read_tables(
        facts,
        snapshot,
        nodes,
        families=families,
        services=[service for key, service in services.items() if key in chosen],
        also=straight(everything, facts),
    )


def judge_existing(one: Asked, found: Connections, cluster: Cluster) -> Iterator[Finding]:
    """What speaks against an assertion that is about connections that exist."""

    def of_daemon_set(owner: EndpointOwner) -> bool:
        pod = cluster.pods.get((owner.namespace or "", owner.pod or ""))
        return pod is not None and pod.daemon_set

    about = one.about(found.flows)
    yield from established(one.claim, one.avoided, about, lambda key: cluster.service(*key), of_daemon_set)
    yield from unknown_connections(found)


def unknown_connections(found: Connections) -> Iterator[Finding]:
    """What is not known of the nodes' connections: a line that cannot be read may be any of them."""
    damage = [(node, f"a line cannot be read: {why}") for node, why in found.damage.items()]
    return not_known([*found.unknown.items(), *damage])


def existing_notes(one: Asked, found: Connections | None, facts: Facts) -> Iterator[Note]:
    """What an assertion about new connections leaves open: those that exist, and the node as a way in."""
    if one.claim.established:
        return
    if found is None or found.unknown:
        yield Existing(one.assertion.name, None)
    else:
        about = one.about(found.flows)
        ends = sum(ends_there(one.avoided, flow) for flow in about)
        yield Existing(
            one.assertion.name, ends, sum(entered_there(one.avoided, flow) and not flow.own for flow in about)
        )
    yield from _way_in(one, facts)


def _way_in(one: Asked, facts: Facts) -> Iterator[Note]:
    """Under policy Cluster a node forwards to other nodes' pods whatever balancers send to it."""
    nodes = sorted(name for name in one.avoided.nodes if name in facts.cluster.nodes)
    cluster = facts.cluster
    # Of a service that only the rules know there is no word of the policy that counts.
    owned = [key for key in sorted(one.services) if cluster.has_service(key)]
    forwarded = [key for key in owned if _forwarded(cluster, cluster.service(*key))]
    if nodes and forwarded:
        unlabelled = [name for name in nodes if _OUT_OF_BALANCERS not in facts.cluster.nodes[name].labels]
        yield StillWayIn(tuple(nodes), tuple(forwarded), tuple(unlabelled))


def _forwarded(cluster: Cluster, service: Service) -> bool:
    ways = {
        "nodeport": any(port.node_port for port in service.ports),
        "loadbalancer": bool(service.load_balancer_ips),
        "externalip": bool(service.external_ips),
    }
    entered = any(ways.get(via) for via in OUTSIDE)
    return entered and service.external_policy == "Cluster" and bool(cluster.endpoints(service.key))
