"""Each node's rules as they would be: kube-proxy's own are written anew, everything else stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kinspect.kubeproxy.names import has_services
from kinspect.kubeproxy.rules import LARGE, Here, node_addresses, place_of, served
from kinspect.kubeproxy.settings import Settings, older_form, overridden, settings_of
from kinspect.kubeproxy.update import Edits, State, updates
from kinspect.kubeproxy.usable import Place
from kinspect.model.changes import Key
from kinspect.model.cluster import Node
from kinspect.model.diagnostics import Undetermined
from kinspect.model.node import NodeState
from kinspect.model.packet import Family
from kinspect.model.rules import Ruleset
from kinspect.model.whatif import Inferred, Lagging
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.rules.dump import Dump
from kinspect.parse.rules.edit import with_chains
from kinspect.parse.user.proxy_config import ProxyConfig


@dataclass(slots=True)
class Predicted:
    """Nodes after a change, and what is to be said of their rules."""

    states: dict[str, NodeState] = field(default_factory=dict)
    inferred: list[Inferred] = field(default_factory=list)
    lagging: list[Lagging] = field(default_factory=list)
    rewritten: dict[str, int] = field(default_factory=dict)  # chains that differ, by node
    undetermined: list[Undetermined] = field(default_factory=list)
    changed: set[tuple[str, Family]] = field(default_factory=set)  # nodes whose rules differ


def predicted(
    states: Mapping[str, NodeState],
    before: Cluster,
    after: Cluster,
    services: Sequence[Key],
    config: ProxyConfig | None = None,
) -> Predicted:
    """The nodes once their kube-proxy has written what changed of the services."""
    found = Predicted()
    old, new = states_of(before, services), states_of(after, services)
    for name, state in states.items():
        found.states[name] = _node(state, before, after, old, new, config, found)
    return found


def states_of(cluster: Cluster, services: Sequence[Key]) -> dict[Key, State | None]:
    """Services with their endpoints; None: there is no such service."""
    return {
        key: (cluster.service(*key), cluster.endpoints(key)) if cluster.has_service(key) else None
        for key in services
    }


def here_of(
    rules: Ruleset, node: Node | None, name: str, endpoints: int, config: ProxyConfig | None = None
) -> Here:
    """The kube-proxy that writes a ruleset, by its settings and its node."""
    settings = settings_of(rules)
    if config is not None:
        settings = overridden(settings, config.settings(rules.family), config.source)
    place = place_of(node) if node is not None else Place(name)
    return Here(place, settings, endpoints > LARGE, node_addresses(node, rules.family))


def inferred_of(node: str, settings: Settings) -> list[Inferred]:
    """The settings of a node for the answer."""
    return [Inferred(node, settings.family, e.setting, e.value, e.rule) for e in settings.evidence]


def _node(
    state: NodeState,
    before: Cluster,
    after: Cluster,
    old: Mapping[Key, State | None],
    new: Mapping[Key, State | None],
    config: ProxyConfig | None,
    found: Predicted,
) -> NodeState:
    if state.data_path != "iptables":
        return state  # which is said when a packet is to be followed there
    rulesets: dict[Family, Sequence[Ruleset]] = {}
    lagging: set[str] = set()
    for family, dumps in state.rulesets.items():
        carrying = [rules for rules in dumps if has_services(rules)]
        made: dict[int, Ruleset] = {}
        behind: list[set[str]] = []
        for rules in carrying:
            older = older_form(rules)
            if older is not None:
                found.undetermined.append(_older(state.name, rules, older))
            now = here_of(
                rules, before.nodes.get(state.name), state.name, before.endpoint_count(family), config
            )
            then = here_of(
                rules, after.nodes.get(state.name), state.name, after.endpoint_count(family), config
            )
            found.inferred += inferred_of(state.name, now.settings)
            late = {key for key, each in old.items() if updates(rules, {key: each}, now)}
            behind.append({"/".join(key) for key in late})
            edits = updates(rules, new, then)
            found.rewritten[state.name] = found.rewritten.get(state.name, 0) + _count(edits)
            assert isinstance(rules, Dump)
            made[id(rules)] = with_chains(rules, edits)
            if made[id(rules)] is not rules:
                found.changed.add((state.name, family))
        if dumps and not carrying and any(each and served(each[0], family) for each in new.values()):
            found.undetermined.append(_unwritten(state.name, family))
        # With two back ends, kube-proxy writes one: the other is behind for good.
        lagging |= set.intersection(*behind) if behind else set()
        rulesets[family] = [made.get(id(rules), rules) for rules in dumps]
    if lagging:
        found.lagging.append(Lagging(state.name, tuple(sorted(lagging))))
        found.undetermined.append(_lagging(state.name, lagging))
    return replace(state, rulesets=rulesets)


def _count(edits: Edits) -> int:
    return sum(len(chains) for chains in edits.values())


def _older(node: str, rules: Ruleset, why: str) -> Undetermined:
    return Undetermined(
        text=f"{node}: {rules.source}: {why}, and kinspect writes those of later ones",
        code="older-release",
        node=node,
        answered_by="kinspect trace, after the change",
    )


def _unwritten(node: str, family: Family) -> Undetermined:
    return Undetermined(
        text=f"{node}: no rules of kube-proxy are there for IPv{family}: what it would write is not known",
        code="node-behind",
        node=node,
        answered_by=f"kinspect diff --expected node/{node}",
    )


def _lagging(node: str, services: set[str]) -> Undetermined:
    shown = sorted(services)
    names = ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
    return Undetermined(
        text=f"{node}: its rules are not what the API says already ({names}): unless its kube-proxy works,"
        " nothing of this reaches it",
        code="node-behind",
        node=node,
        answered_by=f"kinspect diff --expected node/{node}",
    )
