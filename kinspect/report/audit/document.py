"""The JSON and YAML document of an audit: a contract, to which fields are only ever added.

apiVersion    kinspect/v1
kind          Audit
exitCode      0, 1 or 3, as the process ends
services      how many were looked at; nodes: their names
findings      each: code, severity (error | warning | info), title, service (namespace, name) or null,
              nodes, ways (the ways in), text, evidence (rules: source, line, table, chain, rule),
              conditions (what it depends on), moved (it changed while it was read), todo
undetermined, warnings   lines of text
"""

from __future__ import annotations

from typing import Any

from kinspect.model.audit import AuditAnswer, Observation
from kinspect.report.audit.words import observation_text
from kinspect.report.check.document import rule_document
from kinspect.report.trace.document import API_VERSION


def audit_document(answer: AuditAnswer) -> dict[str, Any]:
    """The answer as plain data."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Audit",
        "exitCode": int(answer.exit_code),
        "services": answer.services,
        "nodes": list(answer.nodes),
        "findings": [_finding(found) for found in answer.observations],
        "undetermined": [str(one) for one in answer.undetermined],
        "warnings": list(answer.warnings),
    }


def _finding(found: Observation) -> dict[str, Any]:
    return {
        "code": found.kind.code,
        "severity": found.severity.value,
        "title": found.kind.title,
        "service": {"namespace": found.service[0], "name": found.service[1]} if found.service else None,
        "nodes": list(found.nodes),
        "ways": list(found.ways),
        "text": observation_text(found),
        "evidence": [rule_document(rule) for rule in found.evidence],
        "conditions": [question.text for question in found.questions],
        "moved": found.moved,
        "todo": found.kind.todo,
    }
