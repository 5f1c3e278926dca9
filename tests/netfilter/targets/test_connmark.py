from __future__ import annotations

from typing import Any

import pytest

from kinspect.model.packet import CtState
from tests.netfilter.tables import goes_on, packet, refused

# (mark, connection's mark) before and behind; the masks as in a real kernel's counters.
MARKS = [
    ("--set-mark 0x5/0x1", (0xF0, 0x30), (0xF0, 0x35)),
    ("--set-xmark 0x5/0x1", (0xF0, 0x35), (0xF0, 0x31)),
    ("--set-xmark 0x80/0x80", (0, 0x1), (0, 0x81)),
    ("--and-mark 0x11", (0, 0x31), (0, 0x11)),
    ("--or-mark 0x4", (0, 0x11), (0, 0x15)),
    ("--xor-mark 0x14", (0, 0x15), (0, 0x1)),
    ("--save-mark", (0xF0, 0x1), (0xF0, 0xF0)),
    ("--save-mark --nfmask 0x30 --ctmask 0xff", (0xF0, 0xF01), (0xF0, 0xF30)),
    ("--save-mark --mask 0xf", (0xF5, 0xF00), (0xF5, 0xF05)),
    ("--restore-mark", (0xF0, 0x1), (0x1, 0x1)),
    ("--restore-mark --mask 0xf", (0xF0, 0x31), (0xF1, 0x31)),
    ("--restore-mark --nfmask 0x80 --ctmask 0x80", (0x1, 0x80), (0x81, 0x80)),
    ("--set-mark 0x3 --left-shift-mark 4", (0, 0), (0, 0x30)),
    ("--save-mark --right-shift-mark 4", (0xF0, 0), (0xF0, 0xF)),
]
REFUSED = [
    ("-j CONNMARK --set-mark", "expected a value after --set-mark", "--set-mark"),
    ("-j CONNMARK --save-mark --mask x", "expected a mask after --mask", "x"),
    (
        "-j CONNMARK --set-mark 1 --left-shift-mark 99",
        "expected a number of bits up to 32 after --left-shift-mark",
        "99",
    ),
]


@pytest.mark.parametrize(("words", "before", "after"), MARKS)
def test_both_marks_behind_it(words: str, before: tuple[int, int], after: tuple[int, int]) -> None:
    found = goes_on(f"-j CONNMARK {words}", packet(mark=before[0], ct_mark=before[1]))
    assert (found.mark, found.ct_mark) == after


@pytest.mark.parametrize("fields", [{"tracked": False}, {"state": CtState.UNTRACKED}])
@pytest.mark.parametrize("words", ["--set-mark 5", "--save-mark", "--restore-mark"])
def test_a_packet_without_a_connection_stays_as_it_is(words: str, fields: dict[str, Any]) -> None:
    before = packet(mark=9, **fields)
    assert goes_on(f"-j CONNMARK {words}", before) == before


def test_an_old_connection_s_mark_is_not_known() -> None:
    old = packet(state=CtState.ESTABLISHED)
    restored = goes_on("-j CONNMARK --restore-mark --nfmask 0xf0 --ctmask 0xf0", old)
    assert restored.mark_unknown == 0xF0
    saved = goes_on("-j CONNMARK --set-xmark 0x1/0xff", old)
    assert (saved.ct_mark, saved.ct_mark_unknown) == (1, 0xFFFFFF00)


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
