"""GitHub annotations: a workflow command for each problem.

``::error title=T::MESSAGE`` on a line of its own, escaped as actions/toolkit's ``command.ts`` does:
% CR LF everywhere, and : , in properties too. Nothing that a cluster says can end a line and begin
a command of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from kinspect.model.check import CheckAnswer
from kinspect.report.check.groups import Group, grouped
from kinspect.report.check.words import (
    VERDICTS,
    key_text,
    names_text,
    note_text,
    problem_text,
    rule_text,
    sources_text,
    verdict_text,
)  # fmt: skip
from kinspect.report.screen import View
from kinspect.report.words import VIA_NAMES
from kinspect.sanitise import safe

_COMMANDS = {"violated": "error", "undetermined": "warning", "excused": "notice"}


def github(answer: CheckAnswer, view: View) -> str:
    """All of an answer, a line each; a verdict first, since GitHub shows ten of a kind only."""
    return "\n".join(_lines(answer))


def _lines(answer: CheckAnswer) -> Iterator[str]:
    for judged in answer.judged:
        standing = answer.standing(judged)
        name = {"holds": "notice", "violated": "error", "undetermined": "warning"}[standing]
        yield command(name, f"kinspect check: {VERDICTS[standing]}", verdict_text(answer, judged))
        for group in grouped(judged.findings):
            title = f"{judged.assertion.name}: {key_text(group.service)}"
            yield command(_COMMANDS[group.standing], title, _message(group))
    for text in (*answer.undetermined, *answer.warnings):
        yield command("warning", "kinspect check", safe(str(text)))
    for note in answer.notes:
        yield command("notice", "kinspect check", safe(note_text(note)))


def _message(group: Group) -> str:
    lines = [problem_text(group.problem)]
    lines += [
        f"{VIA_NAMES[via]} {front} at {names_text(nodes, None)}, from {sources_text(sources)}"
        for via, front, sources, nodes in group.rows()
    ]
    lines += [rule_text(places[0]) for places in group.rules().values()]
    lines += [f"depends on: {safe(question)}" for question in group.questions()]
    return "\n".join(lines)


def command(name: str, title: str, message: str) -> str:
    """A workflow command."""
    return f"::{name} title={_property(safe(title))}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
