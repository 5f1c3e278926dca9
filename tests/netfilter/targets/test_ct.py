from __future__ import annotations

import pytest

from kinspect.model.packet import CtState
from tests.netfilter.tables import goes_on, packet, refused

RAW = packet(tracked=False)


@pytest.mark.parametrize("words", ["-j NOTRACK", "-j CT --notrack"])
def test_the_packet_is_untracked(words: str) -> None:
    assert goes_on(words, RAW).state is CtState.UNTRACKED


@pytest.mark.parametrize("words", ["-j NOTRACK", "-j CT --notrack"])
def test_a_connection_that_is_there_stays(words: str) -> None:
    assert goes_on(words, packet()).state is CtState.NEW


@pytest.mark.parametrize(
    "words", ["--zone 1", "--helper amanda", "--zone-orig mark --ctevents new", "--timeout x --expevents new"]
)
def test_what_a_trace_does_not_see(words: str) -> None:
    assert goes_on(f"-j CT {words}", RAW) == RAW


def test_a_missing_value() -> None:
    assert refused("-j CT --zone") == ("expected a value after --zone", "--zone")
