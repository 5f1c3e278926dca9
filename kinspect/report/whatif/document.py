"""The JSON and YAML document of a what-if answer: a contract, to which fields are only ever added."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from kinspect.model.answer import Bounds
from kinspect.model.changes import Change, Cordon
from kinspect.model.diagnostics import Diagnostics
from kinspect.model.whatif import (
    Consequence,
    Difference,
    Frontend,
    Inferred,
    Replacement,
    ServiceEffect,
    WhatIfAnswer,
)  # fmt: skip
from kinspect.report.trace.document import API_VERSION, trace_document
from kinspect.report.whatif.words import (
    change_text,
    changes,
    connection_lines,
    consequence_text,
    headline,
    replacement_text,
)  # fmt: skip

_ACTIONS: Final = {
    "SetField": "set", "Relabel": "relabel", "Cordon": "cordon", "Drain": "drain", "Remove": "without",
    "Unready": "unready", "Terminate": "terminating", "AddPods": "add", "Apply": "apply", "Delete": "delete",
}  # fmt: skip


def whatif_document(answer: WhatIfAnswer) -> dict[str, Any]:
    """The answer as plain data; ``before`` and ``after`` are documents of trace."""
    shown = next((e for e in answer.effects if answer.target in (None, e.service)), None)
    effects = [effect_document(effect) for effect in answer.effects]
    document: dict[str, Any] = {
        "apiVersion": API_VERSION,
        "kind": "WhatIf",
        "summary": headline(answer),
        "changes": [_change(change) for change in answer.changes],
        "before": _trace(shown, "before"),
        "after": _trace(shown, "after"),
        "differences": [each for effect in effects for each in effect["differences"]],
        "services": effects,
        "consequences": [_consequence(each) for each in answer.consequences],
        "replacements": [_replacement(each) for each in answer.replacements],
        "connections": connection_lines(answer),
        "inferred": [inferred_document(each) for each in answer.inferred],
        "lagging": [{"node": each.node, "services": list(each.services)} for each in answer.lagging],
        "rewritten": [{"node": node, "chains": chains} for node, chains in answer.rewritten],
        **open_questions(answer.diagnostics),
        "exitCode": int(answer.exit_code),
    }
    if answer.checked is not None:
        from kinspect.report.check.document import check_document

        document["check"] = check_document(answer.checked)
    return document


def _change(change: Change) -> dict[str, Any]:
    action = _ACTIONS[type(change).__name__]
    if isinstance(change, Cordon) and not change.on:
        action = "uncordon"
    return {"change": action, "text": change_text(change), **msgspec.to_builtins(change)}


def _trace(effect: ServiceEffect | None, when: str) -> dict[str, Any] | None:
    answer = getattr(effect, when) if effect is not None else None
    return trace_document(answer) if answer is not None else None


def inferred_document(each: Inferred) -> dict[str, Any]:
    """A setting of a node's kube-proxy."""
    return {
        "node": each.node,
        "family": each.family,
        "setting": each.setting,
        "value": each.value,
        "rule": each.rule,
    }


def open_questions(diagnostics: Diagnostics) -> dict[str, Any]:
    """What is not known, apart from warnings."""
    return {
        "undetermined": [
            {"code": each.code, "text": each.text, "node": each.node, "answeredBy": each.answered_by}
            for each in diagnostics.undetermined
        ],
        "warnings": list(diagnostics.warnings),
    }


def effect_document(effect: ServiceEffect) -> dict[str, Any]:
    """One service, before and after."""
    return {
        "namespace": effect.service[0],
        "name": effect.service[1],
        "changes": changes(effect),
        "before": _trace(effect, "before"),
        "after": _trace(effect, "after"),
        "opened": [_front(front) for front in effect.opened],
        "closed": [_front(front) for front in effect.closed],
        "differences": _differences(effect),
        "noPath": effect.no_path,
    }


def _front(front: Frontend) -> dict[str, Any]:
    address = None if front.address is None else str(front.address)
    port = front.port.node_port if address is None else front.port.port
    return {"via": front.via, "address": address, "port": port, "protocol": front.port.protocol.lower()}


def _differences(effect: ServiceEffect) -> list[dict[str, Any]]:
    namespace, name = effect.service
    service = {"namespace": namespace, "name": name}
    return [{"service": service, **_difference(each)} for each in effect.differences]


def _difference(each: Difference) -> dict[str, Any]:
    owner = each.owner
    endpoint = None
    if owner is not None and (owner.pod or owner.node):
        endpoint = {"namespace": owner.namespace, "pod": owner.pod, "node": owner.node}
    return {
        "node": each.node,
        "via": each.via,
        "from": each.origin,
        "family": each.family,
        "port": each.port.name if each.port else None,
        "verdict": each.verdict.value,
        "to": each.to,
        "endpoint": endpoint,
        "before": _bounds(each.before),
        "after": _bounds(each.after),
    }


def _bounds(bounds: Bounds) -> dict[str, Any]:
    low, high = bounds
    return {"share": float(low), "bounds": [float(low), float(high)]}


def _consequence(each: Consequence) -> dict[str, Any]:
    return {"code": type(each).__name__, "text": consequence_text(each), **msgspec.to_builtins(each)}


def _replacement(each: Replacement) -> dict[str, Any]:
    return {
        "service": {"namespace": each.service[0], "name": each.service[1]},
        "pods": each.pods,
        "text": replacement_text(each),
        "placements": [
            {
                "node": placement.placement,
                "destinations": [{"node": node, **_bounds(share)} for node, share in placement.nodes],
                "lost": _bounds(placement.lost),
            }
            for placement in each.placements
        ],
    }
