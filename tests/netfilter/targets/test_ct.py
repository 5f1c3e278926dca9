from __future__ import annotations

import pytest

from kinspect.model.packet import CtState
from tests.netfilter.tables import goes_on, packet, refused

RAW = packet(tracked=False)


@pytest.mark.parametrize("words", ["-j NOTRACK", "-j CT --notrack"])
def test_the_packet_is_untracked(words: str) -> None:
    assert goes_on(words, RAW).untracked
    assert goes_on(words, packet(state=CtState.INVALID)).state is CtState.UNTRACKED  # on its second pass


@pytest.mark.parametrize("words", ["-j NOTRACK", "-j CT --notrack"])
def test_a_connection_that_is_there_stays(words: str) -> None:
    assert goes_on(words, packet()).state is CtState.NEW


@pytest.mark.parametrize(
    ("words", "zone", "by_mark"),
    [
        ("--zone 1", 1, False),
        ("--helper amanda", 0, False),
        ("--zone-orig mark --ctevents new", 0, True),
        ("--zone-reply 0xffff", 65535, False),
        ("--timeout x --expevents new", 0, False),
    ],
)
def test_the_packet_gets_a_template_of_its_connection(words: str, zone: int, by_mark: bool) -> None:
    behind = goes_on(f"-j CT {words}", RAW)
    assert (behind.template, behind.zone, behind.zone_by_mark) == (True, zone, by_mark)


def test_the_first_word_about_tracking_counts() -> None:
    untracked = goes_on("-j NOTRACK", RAW)
    assert goes_on("-j CT --zone 1", untracked) == untracked
    templated = goes_on("-j CT --zone 1", RAW)
    assert goes_on("-j CT --zone 2", templated) == templated
    assert goes_on("-j NOTRACK", templated) == templated


def test_a_zone_has_sixteen_bits() -> None:
    assert refused("-j CT --zone 65536") == ("expected a zone up to 65535, or mark, after --zone", "65536")


def test_a_missing_value() -> None:
    assert refused("-j CT --zone") == ("expected a value after --zone", "--zone")
