"""``kinspect rules``, ``kinspect diff --expected``: recorded rules, and those that kube-proxy would write."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kinspect.errors import CallError
from kinspect.kubeproxy.difference import drift, services_of
from kinspect.kubeproxy.names import has_services, is_own
from kinspect.kubeproxy.rules import Written, everything, served
from kinspect.kubeproxy.settings import older_form
from kinspect.kubeproxy.update import TABLES
from kinspect.model.cluster import Endpoint, Service
from kinspect.model.diagnostics import Diagnostics, Undetermined, together
from kinspect.model.drift import ExpectedAnswer, NodeRules, RulesAnswer, RulesDrift
from kinspect.model.node import NodeState
from kinspect.model.packet import Family
from kinspect.model.rules import Ruleset
from kinspect.model.whatif import Inferred
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.user.proxy_config import ProxyConfig
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.read import Facts, read_facts
from kinspect.pipeline.gather.sources import Rules, Source, Wanted
from kinspect.pipeline.predicted import here_of, inferred_of
from kinspect.snapshot.types import Files
from kinspect.whatif.objects import Objects

_CHANGED = "endpoints.kubernetes.io/last-change-trigger-time"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRequest:
    """Which nodes and families; ``config`` counts before what the rules show."""

    nodes: Sequence[str] = ()
    families: Sequence[Family] = (4, 6)
    config: ProxyConfig | None = None


@dataclass
class Expected:
    """What kube-proxy would write on the nodes of a cluster, and how their rules differ from it."""

    cluster: Cluster
    api: Files
    config: ProxyConfig | None = None
    inferred: list[Inferred] = field(default_factory=list)
    undetermined: list[Undetermined] = field(default_factory=list)
    _services: list[tuple[Service, Sequence[Endpoint]]] | None = None
    _objects: Objects | None = None

    def written(self, rules: Ruleset, name: str) -> Written | None:
        """All that it writes; None if the rules are of a release that writes others, which is then said."""
        older = older_form(rules)
        if older is not None:
            text = f"{name}: {rules.source}: {older}, and kinspect writes those of later ones"
            self.undetermined.append(Undetermined(text=text, code="older-release", node=name))
            return None
        count = self.cluster.endpoint_count(rules.family)
        here = here_of(rules, self.cluster.nodes.get(name), name, count, self.config)
        self.inferred += inferred_of(name, here.settings)
        return everything(self._every(), here)

    def drifts(self, state: NodeState, families: Iterable[Family] = (4, 6)) -> Iterator[RulesDrift]:
        """How a node's dumps differ; of two back ends, the one that differs least is kube-proxy's."""
        if state.data_path != "iptables":
            text = f"{state.name}: kube-proxy does not write iptables rules there ({state.proof})"
            self.undetermined.append(Undetermined(text=text, code="not-traced", node=state.name))
            return
        for family in families:
            found = []
            for rules in state.rulesets[family]:
                written = self.written(rules, state.name) if has_services(rules) else None
                if written is not None:
                    found.append(self._drift(state.name, rules, written))
            if not found and not any(map(has_services, state.rulesets[family])):
                found = list(self._unwritten(state, family))
            if found:
                yield min(found, key=lambda each: (each.missing + each.surplus, len(each.chains)))

    def _unwritten(self, state: NodeState, family: Family) -> Iterator[RulesDrift]:
        """A family without any rules of kube-proxy: which is right if there is no service of it."""
        if not any(served(service, family) for service, _ in self._every()):
            return
        if not state.rulesets[family]:
            text = f"{state.name}: no rules of IPv{family} were read, though there are services of it"
            self.undetermined.append(Undetermined(text=text, code="not-read", node=state.name))
        for rules in state.rulesets[family][-1:]:
            written = self.written(rules, state.name)
            if written is not None:
                yield self._drift(state.name, rules, written)

    def _every(self) -> list[tuple[Service, Sequence[Endpoint]]]:
        if self._services is None:
            every = self.cluster.services()
            self._services = [(service, self.cluster.endpoints(service.key)) for service in every]
        return self._services

    def _drift(self, node: str, rules: Ruleset, written: Written) -> RulesDrift:
        chains = tuple(drift(rules, written))
        services = tuple(services_of(chains))
        return RulesDrift(
            node=node,
            family=rules.family,
            source=rules.source,
            chains=chains,
            services=services,
            changed=self._changed(services) if services else None,
        )

    def _changed(self, services: Sequence[str]) -> str | None:
        """The time of the last change of some services and their endpoints, as the API's objects have it."""
        if self._objects is None:
            self._objects = Objects(self.api, "the API")
        objects, times = self._objects, []
        for name in services:
            namespace, _, short = name.partition("/")
            times += list(_times(objects.get("services", (namespace, short))))
            for key in objects.slices_by_service.get((namespace, short), ()):
                times += list(_times(objects.get("endpointslices", key)))
        return max(times, default=None)


def _times(item: Mapping[str, Any] | None) -> Iterator[str]:
    """When an object was made or changed, by its own word."""
    meta = (item or {}).get("metadata") or {}
    managed = [entry.get("time") for entry in meta.get("managedFields") or ()]
    for time in [meta.get("creationTimestamp"), (meta.get("annotations") or {}).get(_CHANGED), *managed]:
        if isinstance(time, str):
            yield time


def expected(request: ExpectedRequest, source: Source) -> ExpectedAnswer:
    """Each node's rules against those that kube-proxy would write now. Raises KinspectError."""
    facts, api = _read(request, source)
    known = Expected(facts.cluster, api, request.config)
    found = [each for state in facts.states.values() for each in known.drifts(state, request.families)]
    return ExpectedAnswer(
        rules=tuple(found),
        inferred=tuple(known.inferred),
        diagnostics=together([facts.diagnostics, Diagnostics(tuple(known.undetermined))]),
    )


def _read(request: ExpectedRequest, source: Source) -> tuple[Facts, Files]:
    if isinstance(source, Rules):
        raise CallError("--rules alone knows no services to write rules for", hint="give a --snapshot")
    snapshot, _ = opened(source, Wanted(nodes=tuple(request.nodes)))
    return read_facts(snapshot, request.nodes), snapshot.api


def node_rules(request: ExpectedRequest, source: Source, *, as_expected: bool) -> RulesAnswer:
    """kube-proxy's rules on nodes: recorded, or as the API says that they should be. Raises KinspectError."""
    if as_expected:
        facts, api = _read(request, source)
    else:
        snapshot, _ = opened(source, Wanted(nodes=tuple(request.nodes)))
        facts, api = read_facts(snapshot, request.nodes), snapshot.api
    known = Expected(facts.cluster, api, request.config)
    found = []
    for state in facts.states.values():
        for family in request.families:
            for rules in state.rulesets[family]:
                if not has_services(rules):
                    continue
                made = known.written(rules, state.name) if as_expected else recorded(rules)
                if made is not None:
                    how = "as kube-proxy would write them" if as_expected else rules.source
                    found.append(NodeRules(node=state.name, family=family, source=how, text=made.text()))
    return RulesAnswer(
        rules=tuple(found),
        expected=as_expected,
        diagnostics=together([facts.diagnostics, Diagnostics(tuple(known.undetermined))]),
    )


def recorded(rules: Ruleset) -> Written:
    """kube-proxy's own chains of a dump."""
    found = Written()
    for table in rules.tables():
        if table not in TABLES:
            continue
        for name in rules.chains(table):
            chain = rules.chain(table, name)
            if chain is not None and is_own(name):
                found.table(table)[name] = list(chain.texts())
    return found
