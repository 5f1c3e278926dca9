"""JUnit XML: a suite for each assertion, a test case for each service.

What Jenkins' junit-10.xsd and GitLab's reports require: counts on each suite, a name on each case,
one ``failure`` (a violation) or ``error`` (not determined) at most in a case, since readers show one.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from kinspect.model.check import AssertionResult, CheckAnswer, Finding
from kinspect.model.codes import code_of
from kinspect.model.diagnostics import Undetermined
from kinspect.report.check.groups import Group, grouped
from kinspect.report.check.words import VERDICTS, key_text, names_text, problem_text, rule_text, sources_text
from kinspect.report.screen import View
from kinspect.report.words import VIA_NAMES
from kinspect.sanitise import safe, safe_name


def junit(answer: CheckAnswer, view: View) -> str:
    """The answer as a JUnit report."""
    suites = [_suite(judged) for judged in answer.judged]
    return report("kinspect check", [*suites, *suite_of_unread(answer.undetermined)])


def report(name: str, suites: Sequence[ET.Element]) -> str:
    """Suites as a whole report, with their counts."""
    root = ET.Element("testsuites", name=name)
    for suite in suites:
        root.append(_counted(suite))
    for count in ("tests", "failures", "errors"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in root)))
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}'


def _suite(judged: AssertionResult) -> ET.Element:
    name = safe(judged.assertion.name)
    by_service: dict[tuple[str, str] | None, list[Finding]] = {key: [] for key in judged.services}
    for finding in judged.findings:
        by_service.setdefault(finding.service, []).append(finding)
    suite = ET.Element("testsuite", name=name)
    for key, findings in by_service.items():
        case = ET.SubElement(suite, "testcase", classname=f"kinspect.{name}", name=key_text(key))
        _fill(case, findings)
    return suite


def _fill(case: ET.Element, findings: Sequence[Finding]) -> None:
    for standing, tag in (("violated", "failure"), ("undetermined", "error")):
        groups = grouped(finding for finding in findings if finding.standing == standing)
        if groups:
            more = f" (and {len(groups) - 1} more)" if len(groups) > 1 else ""
            element = ET.SubElement(
                case,
                tag,
                type=code_of(groups[0].problem),
                message=f"{problem_text(groups[0].problem)}{more}",
            )
            element.text = "\n\n".join(map(_text, groups))
            break
    excused = grouped(finding for finding in findings if finding.standing == "excused")
    if excused:
        ET.SubElement(case, "system-out").text = "\n\n".join(map(_text, excused))


def _text(group: Group) -> str:
    port = f"port {group.port.port}/{group.port.protocol.lower()}: " if group.port else ""
    lines = [f"{port}{problem_text(group.problem)}"]
    lines += [
        f"  {VIA_NAMES[via]} {front} at {names_text(nodes, None)}, from {sources_text(sources)}"
        for via, front, sources, nodes in group.rows()
    ]
    lines += [f"  {rule_text(place)}" for places in group.rules().values() for place in places]
    lines += [f"  depends on: {safe(question)}" for question in group.questions()]
    return "\n".join(lines)


def suite_of_unread(undetermined: Sequence[Undetermined]) -> list[ET.Element]:
    """A suite with a case for each thing that could not be read; none if everything was."""
    suite = ET.Element("testsuite", name="what was read")
    named: set[str] = set()
    for entry in undetermined:
        text, node = entry.text, entry.node
        name = safe_name(node) if node and node not in named else safe(text)
        named.add(name)
        case = ET.SubElement(suite, "testcase", classname="kinspect.facts", name=name)
        ET.SubElement(case, "error", type=VERDICTS["undetermined"], message=safe(text))
    return [suite] if undetermined else []


def _counted(suite: ET.Element) -> ET.Element:
    suite.set("tests", str(len(suite)))
    for count, tag in (("failures", "failure"), ("errors", "error")):
        suite.set(count, str(sum(case.find(tag) is not None for case in suite)))
    suite.set("skipped", "0")
    return suite
