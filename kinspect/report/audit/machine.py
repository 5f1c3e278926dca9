"""An audit as GitHub annotations, and as JUnit XML: a test case for each kind of finding."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree as ET

from kinspect.model.audit import AuditAnswer, Observation, Severity
from kinspect.report.audit.words import doubts, observation_text, subject_text, summary_text
from kinspect.report.check.github import command
from kinspect.report.check.junit import report, suite_of_unread
from kinspect.report.check.words import rule_text
from kinspect.report.screen import View
from kinspect.sanitise import safe, safe_name

_COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}


def github(answer: AuditAnswer, view: View) -> str:
    """All of it, a line each."""
    return "\n".join(_annotations(answer))


def _annotations(answer: AuditAnswer) -> Iterator[str]:
    worst = answer.observations[0].severity if answer.observations else Severity.INFO
    yield command(_COMMANDS[worst], "kinspect audit", summary_text(answer))
    for found in answer.observations:
        title = f"{found.kind.code} {found.kind.title}: {subject_text(found)}"
        yield command(_COMMANDS[found.severity], title, f"{_lines(found)}\n{found.kind.todo}")
    for text in (*answer.undetermined, *answer.warnings):
        yield command("warning", "kinspect audit", safe(str(text)))


def junit(answer: AuditAnswer, view: View) -> str:
    """A case for each kind: it fails by what counts, and by what is only possible it is in error."""
    suite = ET.Element("testsuite", name="audit")
    for kind in answer.kinds:
        case = ET.SubElement(suite, "testcase", classname="kinspect.audit", name=f"{kind.code} {kind.title}")
        found = [each for each in answer.observations if each.kind == kind]
        failed = [each for each in found if each.sure and each.severity in answer.counting]
        unsure = [each for each in found if not each.sure]
        for tag, these in (("failure", failed), ("error", unsure)):
            if these:
                message = f"{subject_text(these[0])}: {observation_text(these[0])}"
                element = ET.SubElement(case, tag, type=kind.code, message=message)
                element.text = "\n\n".join([*map(_of_subject, these), kind.todo])
                break
        known = [each for each in answer.known if each.kind == kind]
        rest = [each for each in (*found, *known) if each not in failed and each not in unsure]
        if rest:
            ET.SubElement(case, "system-out").text = "\n\n".join(map(_of_subject, rest))
    return report("kinspect audit", [suite, *suite_of_unread(answer.undetermined)])


def _of_subject(found: Observation) -> str:
    return f"{subject_text(found)}: {_lines(found)}"


def _lines(found: Observation) -> str:
    where = [f"on {', '.join(map(safe_name, found.nodes))}"] if found.service else []
    ways = [f"by {safe(', '.join(found.ways))}"] if found.ways else []
    rules = [rule_text(rule) for rule in found.evidence]
    return "\n".join([observation_text(found), *where, *ways, *rules, *doubts(found)])
