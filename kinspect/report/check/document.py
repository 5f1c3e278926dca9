"""The JSON and YAML document of a check: a contract, to which fields are only ever added.

Its fields::

    apiVersion    kinspect/v1
    kind          Check
    verdict       holds | violated | undetermined: over all assertions
    exitCode      0, 1 or 3, as the process ends
    assertions    each: name, claim, verdict, services (how many), nodes (that should get nothing), findings
    undetermined, warnings, notes: lines of text

Those of a finding::

    code          Reaches, Unplaced, Queued, Unmodelled, Unexpected, Unserved, Uneven, Refused,
                  Unhandled, TooFew, NoWay or Crosses; of connections that exist StillConnected,
                  EnteredThere, ConnectionsUnplaced, ConnectionsUnknown or Observed
    standing      violated | undetermined | excused (does not count: a DaemonSet's pod, or allowed)
    service       namespace, name
    port          name, port, protocol; null where a service has no such way in, as are these:
    via, from, node, client, frontend, family
                  where the traffic enters, and the address that stands for the class of senders
    to            address and port, or null
    endpoint      namespace, pod, node, listed, terminating; null where nothing is known of it
    connections   of StillConnected and EnteredThere: count, states, entered, idle, stale; else null
    what          of Reaches: endpoint | unlisted | terminating | daemonset
    probability   the exact least share; share: it as a number; bounds: the least and the greatest
    conditions    what it depends on, where the bounds differ
    rule          source, line, table, chain, rule: the one that does it; null where none does
    text          the finding in words
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from kinspect.model.answer import Bounds
from kinspect.model.check import (
    CheckAnswer,
    EnteredThere,
    Finding,
    Problem,
    Reaches,
    RuleReference,
    StillConnected,
)
from kinspect.model.cluster import EndpointOwner
from kinspect.model.flows import FlowsRow
from kinspect.model.packet import SocketAddress
from kinspect.report.check.words import finding_text, note_text
from kinspect.report.trace.document import API_VERSION


def check_document(answer: CheckAnswer) -> dict[str, Any]:
    """The answer as plain data."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Check",
        "verdict": answer.standing(),
        "exitCode": int(answer.exit_code),
        "assertions": [
            {
                "name": judged.assertion.name,
                "claim": type(judged.assertion.claim).__name__,
                "verdict": answer.standing(judged),
                "services": len(judged.services),
                "nodes": list(judged.nodes),
                "findings": [_finding(finding) for finding in judged.findings],
            }
            for judged in answer.judged
        ],
        "undetermined": [str(one) for one in answer.undetermined],
        "warnings": list(answer.warnings),
        "notes": [note_text(note) for note in answer.notes],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    entry, problem = finding.entry, finding.problem
    port = entry.port if entry else None
    share: Bounds | None = getattr(problem, "share", None)
    row: FlowsRow | None = getattr(problem, "row", None)
    to: SocketAddress | str | None = getattr(problem, "to", row.to if row else None)
    backend: EndpointOwner | None = getattr(problem, "backend", row.endpoint if row else None)
    return {
        "code": type(problem).__name__,
        "standing": finding.standing,
        "service": {"namespace": finding.service[0], "name": finding.service[1]} if finding.service else None,
        "port": {"name": port.name, "port": port.port, "protocol": port.protocol} if port else None,
        "via": entry.via if entry else None,
        "from": entry.sources if entry else None,
        "node": entry.node if entry else None,
        "client": str(entry.client) if entry else None,
        "frontend": str(entry.frontend) if entry else None,
        "family": entry.family if entry else None,
        "to": str(to) if to is not None else None,
        "endpoint": _endpoint(backend),
        "connections": _connections(problem),
        "what": problem.what if isinstance(problem, Reaches) else None,
        "probability": str(share[0]) if share else None,
        "share": _number(share[0]) if share else None,
        "bounds": [_number(share[0]), _number(share[1])] if share else None,
        "conditions": [question.text for question in finding.questions],
        "rule": rule_document(finding.rule),
        "text": finding_text(finding),
    }


def _connections(problem: Problem) -> dict[str, Any] | None:
    """How many connections a problem is about, by state and entry node."""
    if not isinstance(problem, StillConnected | EnteredThere):
        return None
    row = problem.row
    return {
        "count": row.connections,
        "states": dict(row.states),
        "entered": dict(row.entered),
        "idle": row.idle,
        "stale": dict(row.stale),
    }


def _endpoint(backend: EndpointOwner | None) -> dict[str, Any] | None:
    if backend is None or not (backend.pod or backend.node):
        return None
    return {
        "namespace": backend.namespace,
        "pod": backend.pod,
        "node": backend.node,
        "listed": backend.listed,
        "terminating": backend.terminating,
    }


def rule_document(rule: RuleReference | None) -> dict[str, Any] | None:
    """A rule and its place."""
    if rule is None:
        return None
    return {
        "source": rule.source,
        "line": rule.line,
        "table": rule.table,
        "chain": rule.chain,
        "rule": rule.text,
    }


def _number(share: Fraction) -> float:
    return share.numerator / share.denominator
