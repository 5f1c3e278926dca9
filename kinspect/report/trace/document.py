"""The JSON and YAML document of a trace: a contract, to which fields are only ever added."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from kinspect.model.answer import NodeTrace, Outcome, Total, TraceAnswer
from kinspect.model.packet import protocol_name
from kinspect.model.questions import Question
from kinspect.model.rules import UNKNOWN_SOURCE
from kinspect.model.trace import ChainPolicy, Considered, Event, Matched, Routed
from kinspect.report.questions import question_document
from kinspect.report.words import note_lines, remark_text

API_VERSION = "kinspect/v1"


def trace_document(answer: TraceAnswer) -> dict[str, Any]:
    """The answer as plain data. ``probability`` is exact; where it is not known, its lower bound."""
    service = answer.service
    return {
        "apiVersion": API_VERSION,
        "kind": "Trace",
        "service": None
        if service is None
        else {"namespace": service.namespace, "name": service.name, "type": service.type},
        "traces": [_trace(trace) for trace in answer.traces],
        "destinations": [
            {"node": d.node, "share": _number(d.share), "bounds": [_number(d.share), _number(d.most)]}
            for d in answer.destinations
        ],
        "totals": [_total(total) for total in answer.totals],
        "remarks": [{"code": type(r).__name__, "text": remark_text(r)} for r in answer.remarks],
        "undetermined": _undetermined(answer),
        "warnings": [*answer.warnings, *map(str, answer.undetermined)],
    }


def _total(total: Total) -> dict[str, Any]:
    """Where one way in ends; ``lost`` is what reaches no endpoint."""
    return {
        "via": total.via,
        "port": total.port.name or str(total.port.port) if total.port else None,
        "family": total.family,
        "destinations": [
            {"node": d.node, "share": _number(d.share), "bounds": [_number(d.share), _number(d.most)]}
            for d in total.ends
        ],
        "lost": [
            {
                "node": lost.node,
                "how": lost.how,
                "share": _number(lost.share),
                "bounds": [_number(lost.share), _number(lost.most)],
            }
            for lost in total.lost
        ],
    }


def _undetermined(answer: TraceAnswer) -> list[dict[str, Any]]:
    """What was not read, and the questions that outcomes depend on, once for each node."""
    asked: dict[tuple[str, Question], None] = {}
    for trace in answer.traces:
        for outcome in trace.outcomes:
            if outcome.weight.exact is None:
                asked.update(((trace.node, question), None) for question in outcome.weight.questions())
    unread = [
        {"code": each.code, "text": each.text, "node": each.node, "answeredBy": each.answered_by}
        for each in answer.undetermined
    ]
    return [*unread, *(question_document(question, node) for node, question in asked)]


def _trace(trace: NodeTrace) -> dict[str, Any]:
    packet = trace.packet
    document: dict[str, Any] = {
        "node": trace.node,
        "via": trace.via,
        "from": trace.origin,
        "packet": {
            "protocol": protocol_name(packet.protocol),
            "src": str(packet.src),
            "sport": packet.sport,
            "dst": str(packet.dst),
            "dport": packet.dport,
            "iif": packet.iif,
        },
        "outcomes": [_outcome(outcome) for outcome in trace.outcomes],
        "notes": note_lines(trace),
    }
    if trace.evaluation.considered:
        document["considered"] = [_considered(entry) for entry in trace.evaluation.considered]
    return document


def _outcome(outcome: Outcome) -> dict[str, Any]:
    low, high = outcome.bounds
    backend = outcome.backend
    endpoint = None
    if backend is not None and (backend.pod or backend.node):
        endpoint = {
            "namespace": backend.namespace,
            "pod": backend.pod,
            "node": backend.node,
            "listed": backend.listed,
        }
    return {
        "verdict": outcome.verdict.value,
        "to": outcome.to,
        "dnat": outcome.dnat,
        "snat": None if outcome.snat == UNKNOWN_SOURCE else outcome.snat,
        "sourceKnown": outcome.snat not in (UNKNOWN_SOURCE, "masquerade") and outcome.missing is None,
        "missing": outcome.missing,
        "probability": str(low),
        "share": _number(low),
        "bounds": [_number(low), _number(high)],
        "conditions": [question.text for question in outcome.weight.questions()] if low != high else [],
        "endpoint": endpoint,
        "path": [entry for event in outcome.ways[0].events() if (entry := _event(event))],
        "ways": len(outcome.ways),
    }


def _event(event: Event) -> dict[str, Any] | None:
    match event:
        case Matched(place, rule):
            return {
                "hook": place.hook,
                "table": place.table,
                "chain": rule.chain,
                "line": _line(rule.line),
                "rule": rule.text,
            }
        case ChainPolicy(place, chain, verdict):
            return {
                "hook": place.hook,
                "table": place.table,
                "chain": chain,
                "line": None,
                "rule": f"-P {chain} {verdict.value}",
            }
        case Routed(where, dropped):
            return (
                {"hook": "routing", "table": None, "chain": None, "line": None, "rule": where}
                if dropped
                else None
            )


def _considered(entry: Considered) -> dict[str, Any]:
    return {
        "hook": entry.place.hook,
        "table": entry.place.table,
        "chain": entry.rule.chain,
        "line": _line(entry.rule.line),
        "rule": entry.rule.text,
        "matched": entry.held,
        "why": entry.why,
    }


def _line(number: int) -> int | None:
    """A rule's line; None where no line of the text holds it."""
    return number if number > 0 else None


def _number(share: Fraction) -> float:
    return share.numerator / share.denominator


def to_json(document: dict[str, Any]) -> str:
    """JSON of two spaces. Bytes that are no UTF-8 come out as escapes."""
    return json.dumps(document, indent=2, ensure_ascii=True)


def to_yaml(document: dict[str, Any]) -> str:
    """The same as YAML."""
    import yaml

    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=False, width=1000)).rstrip("\n")
