from __future__ import annotations

import pytest

from tests.netfilter.tables import goes_on, packet, refused

HOPS = [
    ("-j TTL --ttl-set 64", None, 64),
    ("-j TTL --ttl-dec 3", 63, 60),
    ("-j TTL --ttl-dec 9", 5, 0),
    ("-j TTL --ttl-inc 9", 250, 255),
    ("-j TTL --ttl-inc 9", None, None),
    ("-j HL --hl-set 255", 1, 255),
]
REFUSED = [
    ("-j TTL", "expected --ttl-set or --ttl-dec or --ttl-inc", "-j"),
    ("-j TTL --ttl-set", "expected a value after --ttl-set", "--ttl-set"),
    ("-j HL --hl-set 300", "expected a number of hops up to 255 after --hl-set", "300"),
]


@pytest.mark.parametrize(("words", "before", "after"), HOPS)
def test_the_hops_behind_it(words: str, before: int | None, after: int | None) -> None:
    assert goes_on(words, packet(ttl=before)).ttl == after


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
