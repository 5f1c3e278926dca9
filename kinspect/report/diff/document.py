"""The documents of ``kinspect diff`` and ``kinspect rules``: contracts, to which fields are only added."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kinspect.model.cluster import Endpoint
from kinspect.model.diagnostics import Diagnostics
from kinspect.model.drift import ChainDrift, DiffAnswer, EndpointChange, ExpectedAnswer, NodeRules, RulesDrift
from kinspect.model.packet import endpoint_text
from kinspect.report.trace.document import API_VERSION
from kinspect.report.whatif.document import effect_document, inferred_document, open_questions


def expected_document(answer: ExpectedAnswer) -> dict[str, Any]:
    """Each node's rules against those that kube-proxy would write."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Diff",
        "expected": True,
        "verdict": {0: "in-sync", 1: "differs"}.get(int(answer.exit_code), "undetermined"),
        "rules": [_rules(each) for each in answer.rules],
        "inferred": [inferred_document(each) for each in answer.inferred],
        **open_questions(answer.diagnostics),
        "exitCode": int(answer.exit_code),
    }


def diff_document(answer: DiffAnswer) -> dict[str, Any]:
    """Two states: traffic first, then endpoints, then rules. Surplus rules are gone, missing ones are new."""
    effects = [effect_document(effect) for effect in answer.effects]
    return {
        "apiVersion": API_VERSION,
        "kind": "Diff",
        "expected": False,
        "before": answer.before,
        "after": answer.after,
        "differences": [each for effect in effects for each in effect["differences"]],
        "services": effects,
        "endpoints": [_endpoint_change(each) for each in answer.endpoints],
        "rules": [_rules(each) for each in answer.rules],
        "onlyBefore": list(answer.only_before),
        "onlyAfter": list(answer.only_after),
        **open_questions(answer.diagnostics),
        "exitCode": int(answer.exit_code),
    }


def rules_document(found: Sequence[NodeRules], diagnostics: Diagnostics, *, expected: bool) -> dict[str, Any]:
    """kube-proxy's rules as text."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Rules",
        "expected": expected,
        "rules": [{"node": e.node, "family": e.family, "source": e.source, "text": e.text} for e in found],
        **open_questions(diagnostics),
        "exitCode": 3 if diagnostics.undetermined else 0,
    }


def _rules(each: RulesDrift) -> dict[str, Any]:
    return {
        "node": each.node,
        "family": each.family,
        "source": each.source,
        "inSync": not each.chains,
        "services": list(each.services),
        "changed": each.changed,
        "missing": each.missing,
        "surplus": each.surplus,
        "chains": [_chain(chain) for chain in each.chains],
    }


def _chain(chain: ChainDrift) -> dict[str, Any]:
    return {
        "table": chain.table,
        "chain": chain.chain,
        "servicePort": chain.service_port,
        "missing": list(chain.missing),
        "surplus": list(chain.surplus),
        "absent": chain.absent,
        "leftOver": chain.left_over,
        "order": chain.order,
    }


def _endpoint_change(each: EndpointChange) -> dict[str, Any]:
    namespace, name = each.service
    return {
        "service": {"namespace": namespace, "name": name},
        "before": _endpoint(each.before),
        "after": _endpoint(each.after),
    }


def _endpoint(endpoint: Endpoint | None) -> dict[str, Any] | None:
    if endpoint is None:
        return None
    return {
        "address": endpoint_text(endpoint.address, endpoint.port),
        "port": endpoint.port_name,
        "protocol": endpoint.protocol.lower(),
        "ready": endpoint.ready,
        "serving": endpoint.serving,
        "terminating": endpoint.terminating,
        "node": endpoint.node,
        "pod": endpoint.pod[1] if endpoint.pod else None,
    }
