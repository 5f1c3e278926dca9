"""Diagnostics: values that functions return, added up in the order met."""

from __future__ import annotations

from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined, together, unknown, warned


def test_the_same_is_reported_once_and_order_is_kept() -> None:
    first, second = unknown("node1: no answer", node="node1"), warned(["a rule is damaged", "another is"])
    added = first + second + first
    assert added.undetermined == (Undetermined(text="node1: no answer", node="node1"),)
    assert added.warnings == ("a rule is damaged", "another is")
    assert together([first, second, first]) == added


def test_nothing_is_false_and_adds_nothing() -> None:
    assert not NONE
    assert NONE + warned(["x"]) == warned(["x"]) == warned(["x"]) + NONE
    assert Diagnostics(warnings=("x",))
