from __future__ import annotations

from tests.netfilter.tables import goes_on, packet, refused


def test_the_mark_is_not_known() -> None:
    found = goes_on("-j HMARK --hmark-tuple src,dst --hmark-mod 10 --hmark-offset 100", packet(mark=1))
    assert found.mark_unknown == 0xFFFFFFFF


def test_a_missing_option() -> None:
    assert refused("-j HMARK --hmark-tuple src") == ("expected --hmark-mod", "-j")
