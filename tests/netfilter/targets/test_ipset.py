from __future__ import annotations

import pytest

from tests.netfilter.tables import goes_on, packet, refused

REFUSED = [
    ("-j SET", "expected --add-set, --del-set or --map-set", "-j"),
    ("-j SET --add-set web", "expected a value after --add-set", "--add-set"),
    ("-j SET --add-set web up", "expected a list of src and dst after --add-set web", "up"),
]


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("--add-set web src", {"web", "old"}),
        ("--add-set web src,dst --exist --timeout 60 --del-set grey src", {"web", "grey", "old"}),
        ("--map-set prio src --map-prio", {"old"}),
    ],
)
def test_the_sets_that_it_changes(words: str, changed: set[str]) -> None:
    assert goes_on(f"-j SET {words}", packet(sets_changed=frozenset({"old"}))).sets_changed == changed


def test_a_mapped_mark_is_not_known() -> None:
    assert goes_on("-j SET --map-set marks src --map-mark").mark_unknown == 0xFFFFFFFF


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
