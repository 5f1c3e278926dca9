from __future__ import annotations

import pytest

from tests.netfilter.tables import goes_on, packet, refused

OCTETS = [
    ("-j DSCP --set-dscp 5", 0x03, 0x17),
    ("-j DSCP --set-dscp 0x2e", None, 0xB8),  # taken to be without ECN bits
    ("-j DSCP --set-dscp-class AF11", 0, 0x28),
    ("-j TOS --set-tos 0x10/0x3f", 0xFF, 0xD0),
    ("-j TOS --set-tos Minimize-Delay", 0xFF, 0x10),
    ("-j TOS --set-tos 0x10", None, 0x10),
    ("-j TOS --and-tos 0xf0", 0x1F, 0x10),
    ("-j TOS --or-tos 0x01", 0x10, 0x11),
    ("-j TOS --xor-tos 0x03", 0x14, 0x17),
    ("-j TOS --or-tos 0x01", None, None),
]
REFUSED = [
    ("-j DSCP", "expected --set-dscp or --set-dscp-class", "-j"),
    ("-j DSCP --set-dscp 64", "expected a number up to 63 after --set-dscp", "64"),
    ("-j TOS --set-tos x", "expected a TOS, as value, value/mask or a name, after --set-tos", "x"),
    ("-j TOS --or-tos 256", "expected bits of an octet after --or-tos", "256"),
]


@pytest.mark.parametrize(("words", "before", "after"), OCTETS)
def test_the_octet_behind_it(words: str, before: int | None, after: int | None) -> None:
    assert goes_on(words, packet(tos=before)).tos == after


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
