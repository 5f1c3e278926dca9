"""The option or the file of a snapshot that answers an open question."""

from __future__ import annotations

from typing import Final

from typing_extensions import assert_never

from kinspect.model.diagnostics import Undetermined
from kinspect.model.questions import Input, Question
from kinspect.sanitise import safe_name

_FILES: Final = {
    "sets": "ipset-save.txt",
    "routes": "ip-route.json",
    "links": "ip-addr.json",
    "rules": "iptables-save.txt",
    "connections": "conntrack.txt",
}


def answered_by(question: Question) -> str | None:
    """``--local 192.168.0.11``; None if no input from the user answers it."""
    return " or ".join(map(_input_text, question.answered_by)) or None


def _input_text(wanted: Input) -> str:
    match wanted.kind:
        case "local-address":
            return f"--local {safe_name(wanted.value)}"
        case "incoming-interface":
            return f"--iif {safe_name(wanted.value)}"
        case "packet":
            return "--packet"
        case "sets" | "routes" | "links" | "rules" | "connections":
            return f"{_FILES[wanted.kind]} of the node in a snapshot"
        case _:
            assert_never(wanted.kind)


def open_question(question: Question, node: str | None) -> Undetermined:
    """A question that an answer depends on; its code is its kind."""
    return Undetermined(text=question.text, code=question.kind, node=node, answered_by=answered_by(question))
