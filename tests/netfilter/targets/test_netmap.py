from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import bound, packet, packet6, refused

BINDINGS = [
    ("-j NETMAP --to 192.168.21.0/24", packet(), "10.1.0.2:40000 > 192.168.21.2:53"),
    ("-j NETMAP --to 192.168.21.7", packet(), "10.1.0.2:40000 > 192.168.21.7:53"),
    ("-j NETMAP --to 192.168.21.0/24", packet(dst_bound=True), "192.168.21.2:40000 > 10.2.0.2:53"),
    ("-j NETMAP --to fd09::/64", packet6(), "[fd01::2]:40000 > [fd09::2]:53"),
]
REFUSED = [
    ("-j NETMAP", "expected --to", "-j"),
    ("-j NETMAP --to", "expected a value after --to", "--to"),
    ("-j NETMAP --to x", "expected an address or network after --to", "x"),
]


@pytest.mark.parametrize(("words", "of", "ends"), BINDINGS)
def test_each_host_is_mapped_onto_its_own(words: str, of: Packet, ends: str) -> None:
    assert bound(words, of) == ends


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
