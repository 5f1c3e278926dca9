from __future__ import annotations

import pytest

from tests.netfilter.tables import goes_on, packet, refused

MARKS = [
    ("-j MARK --set-xmark 0x4000/0x4000", 0x1, 0x4001),
    ("-j MARK --set-xmark 0x4000/0x0", 0x1, 0x4001),  # xor: kube-proxy's way to clear a bit
    ("-j MARK --set-xmark 0x4000/0x0", 0x4001, 0x1),
    ("-j MARK --set-xmark 0x5000/0xffffffff", 0x1, 0x5000),
    ("-j MARK --set-mark 1338", 0x1, 1338),
    ("-j MARK --set-mark 0x5/0x1", 0xF0, 0xF5),
    ("-j MARK --or-mark 0x10", 0x1, 0x11),
    ("-j MARK --and-mark 0x10", 0x11, 0x10),
    ("-j MARK --xor-mark 0x3", 0x1, 0x2),
]
MISSING = "expected --set-xmark, --set-mark, --and-mark, --or-mark or --xor-mark"
REFUSED = [
    ("-j MARK", MISSING, "-j"),
    ("-j MARK --set-mark", "expected a value after --set-mark", "--set-mark"),
    ("-j MARK --set-mark x", "expected a mark, as value or value/mask, after --set-mark", "x"),
    ("-j MARK --or-mark 1/1", "expected a mark after --or-mark", "1/1"),
]


@pytest.mark.parametrize(("words", "before", "after"), MARKS)
def test_the_mark_behind_it(words: str, before: int, after: int) -> None:
    assert goes_on(words, packet(mark=before)).mark == after


def test_bits_that_are_set_are_known() -> None:
    assert goes_on("-j MARK --set-xmark 0x1/0x3", packet(mark_unknown=0x7)).mark_unknown == 0x4


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
