"""The wording of what-if answers: the changes in a sentence, and the consequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

from typing_extensions import assert_never

from kinspect.model.answer import Bounds
from kinspect.model.changes import (
    AddPods,
    Apply,
    Change,
    Cordon,
    Delete,
    Drain,
    Key,
    Relabel,
    Remove,
    SetField,
    Terminate,
    Unready,
)  # fmt: skip
from kinspect.model.whatif import (
    Consequence,
    Difference,
    Evicted,
    HintsKept,
    NoAddress,
    NoEffect,
    NotFromPods,
    Placeholder,
    Replaced,
    Replacement,
    ServiceEffect,
    Unscheduled,
    WhatIfAnswer,
)  # fmt: skip
from kinspect.report.words import VIA_NAMES, bounded, listed
from kinspect.sanitise import safe

_NOTHING: Final[Bounds] = (Fraction(0), Fraction(0))
_ALL: Final[Bounds] = (Fraction(1), Fraction(1))
_MOST: Final = 6  # names in a sentence


def change_text(change: Change) -> str:
    """A change in words."""
    match change:
        case SetField(service, path, value):
            shown = "is removed" if value is None else f"is set to {_value(value)}"
            return f"{safe('.'.join(map(str, path)))} of service {_name(service)} {shown}"
        case Relabel(kind, key, labels):
            parts = [
                f"{name} removed" if value is None else f"{name}={value}" for name, value in labels.items()
            ]
            return f"{kind} {_name(key)} is labelled {safe(', '.join(parts))}"
        case Cordon(node, on):
            return f"node {safe(node)} is {'cordoned' if on else 'uncordoned'}"
        case Drain(node):
            return f"node {safe(node)} is drained"
        case Remove(pod):
            return f"pod {_name(pod)} is gone"
        case Unready(pod):
            return f"pod {_name(pod)} is not ready"
        case Terminate(pod):
            return f"pod {_name(pod)} is terminating"
        case AddPods(service, node, count):
            pods = "one more pod" if count == 1 else f"{count} more pods"
            return (
                f"{pods} of service {_name(service)} {'runs' if count == 1 else 'run'} on node {safe(node)}"
            )
        case Apply(item, source):
            meta = item["metadata"]
            name = _name((str(meta.get("namespace", "")), str(meta.get("name"))))
            return f"{safe(str(item.get('kind')))} {name} is applied from {safe(source)}"
        case Delete(kind, key):
            return f"{kind} {_name(key)} is deleted"
    assert_never(change)


def _name(key: Key) -> str:
    return safe("/".join(part for part in key if part))


def _value(value: object) -> str:
    if isinstance(value, dict | list):
        import json

        return safe(json.dumps(value))
    return safe(str(value))


def headline(answer: WhatIfAnswer) -> list[str]:
    """What changes, a sentence for each service that the change affects, the target's first."""
    if not answer.effects:
        return ["Nothing changes: no service's rules depend on it."]
    found = [effect_text(effect) for effect in answer.effects if changes(effect)]
    same = [effect for effect in answer.effects if not changes(effect)]
    asked = [effect for effect in same if effect.service == answer.target]
    if asked:
        found.insert(0, f"Nothing changes for {_name(asked[0].service)}.")
    return found or ["Nothing changes for the traffic of any service."]


def changes(effect: ServiceEffect) -> bool:
    """Whether anything changes for a service."""
    gone = (effect.before is None) != (effect.after is None)
    return bool(effect.differences or effect.opened or effect.closed or gone)


def effect_text(effect: ServiceEffect) -> str:
    """What changes for a service, in a sentence."""
    name = f"Service {_name(effect.service)}"
    if effect.after is None and effect.before is not None and not effect.no_path:
        fronts = listed([str(front) for front in effect.closed[:_MOST]])
        return f"{name} is gone: {fronts} {'leads' if len(effect.closed) == 1 else 'lead'} nowhere."
    parts = []
    if effect.before is None and effect.after is not None:
        fronts = listed([f"{VIA_NAMES[f.via]} {f}" if f.address else str(f) for f in effect.opened[:_MOST]])
        ends = {o.to for t in effect.after.traces for o in t.outcomes if o.to is not None}
        parts.append(f"can be reached at {fronts}, and has {_count(len(ends), 'endpoint')}")
    else:
        parts += [f"{listed([str(f) for f in effect.opened[:_MOST]])} opens"] if effect.opened else []
        parts += (
            [f"{listed([str(f) for f in effect.closed[:_MOST]])} is no longer served"]
            if effect.closed
            else []
        )
    parts += _holes(effect.differences)
    parts += _moves(effect.differences)
    if not parts and effect.no_path:
        parts.append(safe(effect.no_path))
    return f"{name}: {'; '.join(parts)}."


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _holes(found: Sequence[Difference]) -> Iterator[str]:
    """Black holes that open or close."""
    opens: dict[tuple[str, Bounds], list[str]] = {}
    closes: list[str] = []
    for each in found:
        if each.died and each.after > each.before:
            opens.setdefault((each.verdict.value, each.after), []).append(each.node)
        elif each.died and each.after == _NOTHING:
            closes.append(each.node)
    for (verdict, share), nodes in opens.items():
        how = "dropped" if verdict == "DROP" else "refused"
        amount = "everything" if share == _ALL else bounded(share)
        yield f"{amount} that enters at {_nodes(nodes)} is {how}"
    if closes:
        yield f"nothing that enters at {_nodes(closes)} is lost any more"


def _nodes(names: Sequence[str]) -> str:
    unique = list(dict.fromkeys(map(safe, names)))
    more = len(unique) - _MOST
    return listed([*unique[:_MOST], *([f"{more} more nodes"] if more > 0 else [])])


def _moves(found: Sequence[Difference]) -> Iterator[str]:
    """Who loses traffic, and who gains it."""
    ends: dict[str, list[Difference]] = {}
    for each in found:
        if each.to is not None:
            ends.setdefault(each.to, []).append(each)
    lost = [end for end, each in ends.items() if all(d.after == _NOTHING for d in each)]
    gained = [end for end, each in ends.items() if all(d.before == _NOTHING for d in each)]
    less = [e for e, each in ends.items() if e not in lost and all(d.after < d.before for d in each)]
    more = [e for e, each in ends.items() if e not in gained and all(d.after > d.before for d in each)]
    other = [end for end in ends if end not in {*lost, *gained, *less, *more}]
    for group, what in ((lost, "no more traffic"), (gained, "traffic"), (less, "less"), (more, "more")):
        if group:
            yield f"{_ends(group, ends)} {_gets(group, ends)} {what}"
    if other:
        yield f"{_ends(other, ends)} {_gets(other, ends)} {_shifted(other, ends)}"


def _gets(group: Sequence[str], ends: dict[str, list[Difference]]) -> str:
    return "gets" if len({_end(end, ends[end][0]) for end in group}) == 1 else "get"


def _shifted(group: Sequence[str], ends: dict[str, list[Difference]]) -> str:
    """How shares move if an endpoint gets more of the traffic of some nodes, and less of others."""
    crossing = [d for end in group for d in ends[end] if d.owner and d.owner.node not in (None, d.node)]
    if crossing and all(d.after == _NOTHING for d in crossing):
        return f"only what enters at {'its own node' if len(group) == 1 else 'their own nodes'}"
    if crossing and all(d.before == _NOTHING for d in crossing):
        return "what enters at other nodes too"
    return "more at some nodes and less at others"


def _ends(group: Sequence[str], ends: dict[str, list[Difference]]) -> str:
    if len(group) > _MOST * 2:
        nodes = {d.owner.node for end in group for d in ends[end] if d.owner and d.owner.node}
        where = f" on {_nodes(sorted(nodes))}" if nodes else ""
        return f"{len(group)} endpoints{where}"
    names = dict.fromkeys(_end(end, ends[end][0]) for end in sorted(group))
    return listed(list(names))


def _end(end: str, difference: Difference) -> str:
    owner = difference.owner
    if owner is None or not owner.pod:
        return safe(end)
    return safe(f"{owner.pod} on {owner.node}" if owner.node else owner.pod)


def consequence_text(consequence: Consequence) -> str:
    """A consequence of a change, apart from traffic."""
    match consequence:
        case Placeholder(what, of, value, by):
            return f"{value} stands for the {what} of {safe(of)}, which {by} will choose."
        case Evicted():
            return _evicted(consequence)
        case Replaced(pod, owner):
            return (
                f"{safe(owner)} makes another pod in place of {_name(pod)}: the node where it will run is"
                " not known, so it is not counted here."
            )
        case NoEffect(why, what):
            return _NO_EFFECT[why].format(what=safe(what))
        case NotFromPods(service):
            return (
                f"The EndpointSlices of {safe(service)} do not match its pods: only the endpoints with the"
                " names of these pods were changed."
            )
        case HintsKept(service):
            return (
                f"Topology hints of {safe(service)} follow the zones' CPUs (topology-mode: Auto): they stay"
                " unchanged here, but the controller may choose others."
            )
        case NoAddress(service):
            return f"{safe(service)} has no load-balancer address: the provider will choose it."
        case Unscheduled(pod):
            return f"Where pod {safe(pod)} will run is not known, so it is not an endpoint here."
    assert_never(consequence)


_NO_EFFECT: Final = {
    "cordon": "Cordoning {what} changes no rule: it keeps new pods away; pods that run there keep their"
    " traffic.",
    "uncordon": "Uncordoning {what} changes no rule: traffic changes when pods start there.",
    "node-label": "Labels of node {what} change no rule: a Service selects pods by their own labels, never"
    " by their node's.",
    "pod-label": "No service selects pod {what} by these labels: it stays an endpoint of the same services.",
    "same": "{what} is so already.",
    "already": "{what} already.",
}


def _evicted(evicted: Evicted) -> str:
    parts = [f"Draining {safe(evicted.node)} evicts {_count(len(evicted.pods), 'pod')}"]
    stay = [
        _count(len(pods), what)
        for pods, what in ((evicted.daemon_set, "DaemonSet pod"), (evicted.static, "static pod"))
        if pods
    ]
    if stay:
        many = len(evicted.daemon_set) + len(evicted.static) > 1
        parts.append(f"{' and '.join(stay)} {'stay' if many else 'stays'}")
    if evicted.bare:
        names = listed([_name(pod) for pod in evicted.bare[:_MOST]])
        parts.append(f"{names} will not be replaced, and kubectl drain needs --force")
    if evicted.replaced:
        parts.append(
            f"controllers will make {_count(len(evicted.replaced), 'pod')} again, on nodes that are not known"
        )
    return "; ".join(parts) + "."


def replacement_text(replacement: Replacement) -> str:
    """A service's traffic once its evicted pods run elsewhere."""
    shares: dict[str | None, list[Bounds]] = {}
    for placement in replacement.placements:
        held = dict(placement.nodes)
        for node in {node for each in replacement.placements for node, _ in each.nodes}:
            shares.setdefault(node, []).append(held.get(node, _NOTHING))
    pods = _count(replacement.pods, "replacement")
    if not shares:
        return f"Once {pods} of {_name(replacement.service)} run, on nodes that are not known."
    ranges = [
        f"{safe(node or 'no known node')} {bounded((min(b[0] for b in held), max(b[1] for b in held)))}"
        for node, held in sorted(shares.items(), key=lambda item: item[0] or "")
    ]
    lost = max(placement.lost[1] for placement in replacement.placements)
    least = min(placement.lost[0] for placement in replacement.placements)
    holes = f", and {bounded((least, lost))} is lost" if lost else ""
    return (
        f"Once {pods} of {_name(replacement.service)} run, whichever node they are on, traffic ends on:"
        f" {', '.join(ranges)}{holes}."
    )


def connection_lines(answer: WhatIfAnswer) -> list[str]:
    """What happens to existing connections."""
    if not any(effect.differences or effect.closed for effect in answer.effects):
        return []
    found = [
        "Existing connections stay with their endpoints: only the first packet of each passes the nat rules."
    ]
    kinds = {type(change) for change in answer.changes}
    if kinds & {Remove, Drain} or any(isinstance(c, Delete) and c.kind != "service" for c in answer.changes):
        found.append("Connections to removed pods end with the pods; their clients must reconnect.")
    if Terminate in kinds:
        found.append("Connections to a terminating pod last until it closes them or its grace period ends.")
    udp = any(
        difference.port is not None
        and difference.port.protocol == "UDP"
        and difference.to is not None
        and difference.after == _NOTHING
        for effect in answer.effects
        for difference in effect.differences
    )
    if udp or any(front.port.protocol == "UDP" for effect in answer.effects for front in effect.closed):
        found.append(
            "kube-proxy clears UDP flows to endpoints that a service no longer has, but no TCP connections."
        )
    return found
