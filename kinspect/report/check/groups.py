"""Groups findings that are the same for several ways in, so that each is read once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from kinspect.model.answer import Via
from kinspect.model.cause import RuleReference
from kinspect.model.check import Finding, Problem, ServiceKey, Standing
from kinspect.model.cluster import ServicePort
from kinspect.model.traffic import SenderClass

Row: TypeAlias = tuple[Via, str, tuple[SenderClass, ...], tuple[str, ...]]
"""A way in, its address or port, the senders, and the nodes where it enters."""


@dataclass(slots=True)
class Group:
    """One problem of one service's port, and all the ways in that show it."""

    service: ServiceKey | None
    port: ServicePort | None
    problem: Problem
    standing: Standing
    findings: list[Finding] = field(default_factory=list)

    def rows(self) -> list[Row]:
        """The ways in, equal ones joined."""
        ways: dict[tuple[Via, str], dict[str, dict[SenderClass, None]]] = {}
        for finding in self.findings:
            entry = finding.entry
            if entry is not None:
                front = str(entry.frontend.port if entry.via == "nodeport" else entry.frontend)
                nodes = ways.setdefault((entry.via, front), {})
                nodes.setdefault(entry.node, {})[entry.sources] = None
        found = []
        for (via, front), nodes in ways.items():
            together: dict[tuple[SenderClass, ...], list[str]] = {}
            for node, sources in nodes.items():
                together.setdefault(tuple(sources), []).append(node)
            found += [(via, front, sources, tuple(names)) for sources, names in together.items()]
        return found

    def rules(self) -> dict[str, list[RuleReference]]:
        """The rules that cause it, by their text, each with all its places."""
        found: dict[str, dict[RuleReference, None]] = {}
        for finding in self.findings:
            if finding.rule is not None:
                found.setdefault(finding.rule.text, {})[finding.rule] = None
        return {text: list(places) for text, places in found.items()}

    def questions(self) -> list[str]:
        """What it depends on."""
        return sorted({question.text for finding in self.findings for question in finding.questions})


def grouped(findings: Iterable[Finding]) -> list[Group]:
    """The findings in groups, in the order met."""
    groups: dict[tuple[object, ...], Group] = {}
    for finding in findings:
        port = finding.entry.port if finding.entry else None
        key = (finding.service, port, finding.problem, finding.standing)
        group = groups.setdefault(key, Group(finding.service, port, finding.problem, finding.standing))
        group.findings.append(finding)
    return list(groups.values())
