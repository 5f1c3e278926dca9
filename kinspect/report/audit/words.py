"""All wording of an audit."""

from __future__ import annotations

from typing import Final

from kinspect.model.audit import AuditAnswer, Observation, Severity
from kinspect.report.check.words import count, key_text, problem_text
from kinspect.sanitise import safe, safe_name

MOVED: Final = "the service's endpoints changed while this was read: a change was under way"


def observation_text(found: Observation) -> str:
    """What was found, without where."""
    return problem_text(found.problem) if found.problem is not None else safe(found.text)


def subject_text(found: Observation) -> str:
    """The service, or the nodes where it is of no service."""
    return key_text(found.service) if found.service else ", ".join(map(safe_name, found.nodes))


def summary_text(answer: AuditAnswer) -> str:
    """The first line."""
    over = f"{count(answer.services, 'service')} on {count(len(answer.nodes), 'node')}"
    known = f" ({count(len(answer.known), 'finding')} known by the baseline)" if answer.known else ""
    if not answer.observations:
        return f"nothing {'new ' if answer.known else ''}found in {over}{known}"
    parts = [
        count(answer.count(severity), name)
        for severity, name in ((Severity.ERROR, "error"), (Severity.WARNING, "warning"))
        if answer.count(severity)
    ]
    notes = answer.count(Severity.INFO)
    return f"{', '.join([*parts, *([count(notes, 'note')] if notes else [])])} in {over}{known}"


def doubts(found: Observation) -> list[str]:
    """Why it is not sure, where it is not."""
    lines = [f"depends on: {safe(question.text)}" for question in found.questions]
    if found.moved:
        lines.append(MOVED)
    return lines
