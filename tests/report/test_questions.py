"""How a question is answered, in words of the command line."""

from __future__ import annotations

import pytest

from kinspect.model.diagnostics import Undetermined
from kinspect.model.questions import Input, Question
from kinspect.report.questions import answered_by, open_question


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ((), None),
        ((Input("local-address", "192.0.2.1"),), "--local 192.0.2.1"),
        ((Input("incoming-interface", "eth0"),), "--iif eth0"),
        ((Input("packet"),), "--packet"),
        ((Input("sets", "x"),), "ipset-save.txt of the node in a snapshot"),
        ((Input("packet"), Input("links")), "--packet or ip-addr.json of the node in a snapshot"),
    ],
)
def test_what_the_user_can_give(inputs: tuple[Input, ...], text: str | None) -> None:
    assert answered_by(Question("packet-field", "q", inputs)) == text


def test_an_open_question_has_its_kind_as_its_code() -> None:
    found = open_question(Question("clock", "it is noon"), "node1")
    assert found == Undetermined(text="it is noon", code="clock", node="node1")
