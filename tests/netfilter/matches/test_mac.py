from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.netfilter.tables import Answer, answer, packet, refused

ANSWERS = [
    ("-m mac --mac-source 00:60:08:76:35:51", packet(mac_src="00:60:08:76:35:51"), True),
    ("-m mac --mac-source 00:60:08:AA:35:51", packet(mac_src="00:60:08:aa:35:51"), True),
    ("-m mac --mac 0:60:8:76:35:51", packet(mac_src="00:60:08:76:35:51"), True),
    ("-m mac --mac-source 00:60:08:76:35:51", packet(mac_src="00:60:08:76:35:52"), False),
    ("-m mac ! --mac-source 00:60:08:76:35:51", packet(mac_src="00:60:08:76:35:52"), True),
    (
        "-m mac --mac-source 00:60:08:76:35:51",
        packet(),
        "the packet comes from the MAC address 00:60:08:76:35:51",
    ),
    (
        "-m mac ! --mac-source 00:60:08:76:35:51",
        packet(),
        "not the packet comes from the MAC address 00:60:08:76:35:51",
    ),
    # There is no frame to look at.
    ("-m mac ! --mac-source 00:60:08:76:35:51", packet(local=True, iif=None), False),
    ("-m mac ! --mac-source 00:60:08:76:35:51", packet(iif="lo"), False),
]
REFUSED = [
    ("-m mac", "expected --mac-source", "-m"),
    ("-m mac --mac-source", "expected a value after --mac-source", "--mac-source"),
    (
        "-m mac --mac-source 00:11",
        "expected a MAC address, as 00:11:22:33:44:55, after --mac-source",
        "00:11",
    ),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
