"""``kinspect whatif``: changes and a source to traffic before and after.

The changes are made to the API's objects (``whatif``); from these come the rules that each node's
kube-proxy would write (``predicted``); and then both states are traced as any cluster is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from kinspect.errors import CallError
from kinspect.model.answer import TraceAnswer, Via
from kinspect.model.changes import AddPods, Change, Key
from kinspect.model.check import Assertion, CheckAnswer
from kinspect.model.diagnostics import Diagnostics, together
from kinspect.model.packet import Family
from kinspect.model.rules import Ruleset
from kinspect.model.whatif import (
    Replacement,
    ServiceEffect,
    Shares,
    WhatIfAnswer,
)  # fmt: skip
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.node.state import rules_files
from kinspect.parse.rules.dump import Dump
from kinspect.parse.user.changes import read_change, read_manifest
from kinspect.parse.user.proxy_config import ProxyConfig
from kinspect.parse.user.target import Sender, ServiceTarget
from kinspect.pipeline.check import CheckRequest, check
from kinspect.pipeline.effects import Ways, effect_of
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.read import Facts, read_facts
from kinspect.pipeline.gather.sources import Opened, Rules, Source, Wanted
from kinspect.pipeline.predicted import Predicted, predicted
from kinspect.snapshot.types import Files, NodeName, Snapshot
from kinspect.whatif.apply import Changed, apply

_SHOWN = 200  # services that are traced, where a change touches more


@dataclass(frozen=True, slots=True)
class Asked:
    """A change as it was typed: its option's name and value; of a manifest, the bytes too."""

    option: str
    text: str
    manifest: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfRequest:
    """What to change, and what to look at. No target: all services that the change touches."""

    target: ServiceTarget | None
    changes: Sequence[Asked]
    namespace: str | None = None
    via: Via | Literal["all"] | None = None
    entry: Mapping[str, Fraction] | None = None
    sender: Sender | None = None
    nodes: Sequence[str] = ()
    family: Family | None = None
    config: ProxyConfig | None = None
    assertions: Sequence[Assertion] = ()
    wide: bool = False


@dataclass(slots=True)
class WhatIf:
    """The answer, and the predicted cluster as a snapshot."""

    answer: WhatIfAnswer
    snapshot: Snapshot


def whatif(request: WhatIfRequest, source: Source) -> WhatIf:
    """Make the changes, and tell what they do. Raises KinspectError."""
    if isinstance(source, Rules):
        raise CallError("--rules alone knows no services to change", hint="give a --snapshot")
    snapshot, namespace = opened(source, Wanted(namespace=request.namespace, pods=True))
    before = read_facts(snapshot, request.nodes)
    target = _target(request, before.cluster, namespace)
    changes = _changes(request, target[0] if target else namespace, target)
    run = _Run(request, namespace, snapshot, before, target)
    return run.run(changes)


def _target(request: WhatIfRequest, cluster: Cluster, namespace: str) -> Key | None:
    """The service that the call names; one that a manifest makes need not be there yet."""
    if request.target is None:
        return None
    key = (request.target.namespace or namespace, request.target.name)
    if any(asked.option == "apply" for asked in request.changes):
        return key
    return cluster.service(*key).key


def _changes(request: WhatIfRequest, namespace: str, target: Key | None) -> list[Change]:
    found: list[Change] = []
    for asked in request.changes:
        if asked.manifest is not None:
            found += read_manifest(asked.manifest, asked.text, namespace)
        else:
            found += read_change(asked.option, asked.text, namespace, target)
    if not found:
        raise CallError(
            "no change is given", hint="--set, --drain, --without, --relabel, --apply, … (--help)"
        )
    return found


@dataclass
class _Run:
    """One call, from the changes on."""

    request: WhatIfRequest
    namespace: str
    snapshot: Snapshot
    before: Facts
    target: Key | None
    after: Facts = field(init=False)

    def run(self, changes: Sequence[Change]) -> WhatIf:
        """Make the changes and compare."""
        changed = apply(self.snapshot.api, self.snapshot.origin, changes)
        made, self.after = self._predicted(changed)
        effects = self._effects(changed)
        snapshot = _snapshot(self.snapshot, changed, made)
        checked = self._checked(snapshot)
        answer = WhatIfAnswer(
            changes=tuple(changes),
            target=self.target,
            effects=tuple(effects),
            consequences=changed.consequences,
            replacements=tuple(self._replacements(changes, changed)),
            inferred=tuple(made.inferred),
            lagging=tuple(made.lagging),
            rewritten=tuple(made.rewritten.items()),
            checked=checked,
            diagnostics=together([*self._diagnostics(effects), Diagnostics(tuple(made.undetermined))]),
        )
        return WhatIf(answer, snapshot)

    def _predicted(self, changed: Changed) -> tuple[Predicted, Facts]:
        cluster = self.before.cluster.after(changed.api)
        made = predicted(
            self.before.states, self.before.cluster, cluster, changed.services, self.request.config
        )
        return made, Facts(cluster, made.states, self.before.diagnostics)

    def _diagnostics(self, effects: Sequence[ServiceEffect]) -> list[Diagnostics]:
        """What could not be had, of the cluster and of each trace."""
        traces = [trace for effect in effects for trace in (effect.before, effect.after) if trace is not None]
        return [self.before.diagnostics, *(trace.diagnostics for trace in traces)]

    def _effects(self, changed: Changed) -> list[ServiceEffect]:
        keys = list(dict.fromkeys([*([self.target] if self.target else []), *changed.services]))
        return [self._effect(key) for key in keys[:_SHOWN]]

    def _effect(self, key: Key) -> ServiceEffect:
        port = self.request.target.port if self.request.target is not None and key == self.target else None
        return effect_of(key, self.before, self.after, self._ways, port)

    @property
    def _ways(self) -> Ways:
        request = self.request
        return Ways(self.namespace, request.via, request.entry, request.sender, request.family)

    def _checked(self, snapshot: Snapshot) -> CheckAnswer | None:
        request = self.request
        if not request.assertions:
            return None
        asked = CheckRequest(
            assertions=request.assertions,
            namespace=self.namespace,
            nodes=request.nodes,
            families=(request.family,) if request.family else (4, 6),
        )
        return check(asked, Opened(snapshot, self.namespace))

    def _replacements(self, changes: Sequence[Change], changed: Changed) -> list[Replacement]:
        """Shares once evicted pods were replaced, by the node that their replacements run on.

        Where the scheduler puts them is not known; what any placement comes to lies between these.
        """
        evicted = {pod for each in changed.evicted for pod in each.replaced}
        drained = {each.node for each in changed.evicted}
        services = [self.target] if self.target in changed.services else list(changed.services)
        places = [
            n.name
            for n in self.before.cluster.nodes.values()
            if not n.unschedulable and n.name not in drained
        ]
        found = []
        for key in services[:_SHOWN]:
            if key is None:
                continue
            behind = {e.pod for e in self.before.cluster.endpoints(key) if e.pod in evicted}
            if behind:
                shares = [self._placed(changes, key, node, len(behind)) for node in places]
                found.append(Replacement(key, len(behind), tuple(s for s in shares if s is not None)))
        return found

    def _placed(self, changes: Sequence[Change], key: Key, node: str, pods: int) -> Shares | None:
        # Replacements are made like the pods that go: they are added first, while these are there.
        try:
            changed = apply(self.snapshot.api, self.snapshot.origin, [AddPods(key, node, pods), *changes])
        except CallError:
            return None
        _, facts = self._predicted(changed)
        answer = effect_of(key, self.before, facts, self._ways).after
        if answer is None:
            return None
        nodes = tuple((d.node, (d.share, d.most)) for d in answer.destinations)
        return Shares(node, nodes, _lost(answer))


def _lost(answer: TraceAnswer) -> tuple[Fraction, Fraction]:
    """The share of all traffic that is not delivered, with equal entries."""
    low = high = Fraction(0)
    for trace in answer.traces:
        for outcome in trace.outcomes:
            if outcome.to is None:
                low, high = low + outcome.bounds[0], high + outcome.bounds[1]
    count = len(answer.traces) or 1
    return low / count, high / count


def _snapshot(before: Snapshot, changed: Changed, made: Predicted) -> Snapshot:
    """The predicted cluster: the API's lists, and each node's files with the rules that changed."""
    nodes: dict[NodeName, Files] = dict(before.nodes)
    for name, family in made.changed:
        node = NodeName(name)
        files = before.nodes[node]
        rulesets = made.states[name].rulesets[family]
        for file, rules in zip(rules_files(files, family), rulesets, strict=True):
            nodes[node] = _Predicted(nodes[node], file, rules)
    # The old Endpoints follow EndpointSlices, and are not asked when there are any.
    stale = {"endpoints.json"} if "endpointslices.json" in changed.api else set()
    api = {name: changed.api[name] for name in changed.api if name not in stale}
    return replace(before, origin=f"{before.origin}, changed", api=api, nodes=nodes)


class _Predicted(Mapping[str, bytes]):
    """A node's files, one of which is made from predicted rules when it is asked for."""

    def __init__(self, files: Files, name: str, rules: Ruleset) -> None:
        self._files, self._name, self._rules = files, name, rules

    def __getitem__(self, name: str) -> bytes:
        if name != self._name:
            return self._files[name]
        assert isinstance(self._rules, Dump)
        return self._rules.text().encode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)
