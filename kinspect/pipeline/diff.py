"""``kinspect diff BEFORE AFTER``: two states of a cluster, by what they do to traffic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kinspect.errors import NotFound
from kinspect.kubeproxy.difference import changes, services_of
from kinspect.kubeproxy.names import has_services
from kinspect.model.answer import Via
from kinspect.model.changes import Key
from kinspect.model.cluster import Endpoint
from kinspect.model.diagnostics import together
from kinspect.model.drift import DiffAnswer, EndpointChange, RulesDrift
from kinspect.model.packet import Address, Family
from kinspect.model.rules import Ruleset
from kinspect.parse.user.target import Sender, ServiceTarget
from kinspect.pipeline.effects import Ways, effect_of
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.read import Facts, read_facts
from kinspect.pipeline.gather.sources import Source, Wanted

_MOST = 200  # services that are traced


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRequest:
    """What to compare: one service, or all that differ."""

    target: ServiceTarget | None = None
    namespace: str | None = None
    via: Via | Literal["all"] | None = None
    sender: Sender | None = None
    nodes: Sequence[str] = ()
    family: Family | None = None


def diff(request: DiffRequest, before: Source, after: Source) -> DiffAnswer:
    """Compare two states. Raises KinspectError."""
    old_snapshot, namespace = opened(before, Wanted(namespace=request.namespace, nodes=tuple(request.nodes)))
    new_snapshot, _ = opened(after, Wanted(namespace=request.namespace, nodes=tuple(request.nodes)))
    old, new = read_facts(old_snapshot, request.nodes), read_facts(new_snapshot, request.nodes)
    rules = tuple(_rules(request, old, new))
    keys = _services(request, old, new, rules, namespace)
    ways = Ways(namespace, request.via, None, request.sender, request.family)
    port = request.target.port if request.target else None
    effects = [effect_of(key, old, new, ways, port) for key in keys[:_MOST]]
    if request.target is not None:
        named = {"/".join(key) for key in keys}
        rules = tuple(each for each in rules if named & set(each.services))
    traces = [t for e in effects for t in (e.before, e.after) if t is not None]
    return DiffAnswer(
        before=old_snapshot.origin,
        after=new_snapshot.origin,
        effects=tuple(effects),
        endpoints=tuple(each for key in keys for each in _endpoints(old, new, key)),
        rules=rules,
        only_before=tuple(name for name in old.states if name not in new.states),
        only_after=tuple(name for name in new.states if name not in old.states),
        diagnostics=together([old.diagnostics, new.diagnostics, *(t.diagnostics for t in traces)]),
    )


def _rules(request: DiffRequest, old: Facts, new: Facts) -> list[RulesDrift]:
    """How the rules of each node differ, those of others too."""
    found = []
    families: Sequence[Family] = (request.family,) if request.family else (4, 6)
    for name, state in old.states.items():
        then = new.states.get(name)
        for family in families if then is not None else ():
            assert then is not None
            before, after = _carrying(state.rulesets[family]), _carrying(then.rulesets[family])
            if before is None or after is None:
                continue
            chains = tuple(changes(before, after))
            services = tuple(services_of(chains))
            if chains:
                found.append(
                    RulesDrift(
                        node=name, family=family, source=after.source, chains=chains, services=services
                    )
                )
    return found


def _carrying(rulesets: Sequence[Ruleset]) -> Ruleset | None:
    """The ruleset with kube-proxy's rules; of two, the last."""
    found = [rules for rules in rulesets if has_services(rules)] or list(rulesets)
    return found[-1] if found else None


def _services(
    request: DiffRequest, old: Facts, new: Facts, rules: Sequence[RulesDrift], namespace: str
) -> list[Key]:
    """The service asked for; or those whose objects, endpoints or rules differ."""
    if request.target is not None:
        key = (request.target.namespace or namespace, request.target.name)
        if not old.cluster.has_service(key) and not new.cluster.has_service(key):
            raise NotFound(f"there is no service {'/'.join(key)} in either state")
        return [key]
    named = {name for each in rules for name in each.services}
    found = []
    for key in sorted({*old.cluster.service_names(), *new.cluster.service_names()}):
        both = old.cluster.has_service(key) and new.cluster.has_service(key)
        if (
            not both
            or "/".join(key) in named
            or old.cluster.service(*key) != new.cluster.service(*key)
            or set(old.cluster.endpoints(key)) != set(new.cluster.endpoints(key))
        ):
            found.append(key)
    return found


def _endpoints(old: Facts, new: Facts, key: Key) -> list[EndpointChange]:
    """Endpoints that came, went, or changed."""
    before, after = _by_place(old.cluster.endpoints(key)), _by_place(new.cluster.endpoints(key))
    return [
        EndpointChange(service=key, before=before.get(place), after=after.get(place))
        for place in dict.fromkeys([*before, *after])
        if before.get(place) != after.get(place)
    ]


def _by_place(endpoints: Sequence[Endpoint]) -> dict[tuple[Address, int, str, str], Endpoint]:
    return {(e.address, e.port, e.protocol, e.port_name): e for e in endpoints}
