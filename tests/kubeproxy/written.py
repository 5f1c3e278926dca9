"""What kube-proxy writes for the recorded clusters in tests/data."""

from __future__ import annotations

from kinspect.kubeproxy import rules as writer
from kinspect.kubeproxy.rules import Here, Written
from kinspect.kubeproxy.settings import Settings, settings_of
from kinspect.model.packet import Family
from kinspect.model.rules import Ruleset
from kinspect.parse.api.cluster import Cluster
from tests.clusters import api, node


def here(cluster: Cluster, name: str, rules: Ruleset, settings: Settings | None = None) -> Here:
    """The kube-proxy of a node, with the settings that its rules show."""
    found = cluster.nodes[name]
    return Here(
        writer.place_of(found),
        settings or settings_of(rules),
        cluster.endpoint_count(rules.family) > writer.LARGE,
        writer.node_addresses(found, rules.family),
    )


def written(cluster: str, name: str, family: Family, settings: Settings | None = None) -> Written:
    """All that kube-proxy writes on a node."""
    known, rules = api(cluster), node(cluster, name).rulesets[family][-1]
    services = [(service, known.endpoints(service.key)) for service in known.services()]
    return writer.everything(services, here(known, name, rules, settings))
