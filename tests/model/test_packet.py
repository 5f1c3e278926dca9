"""Addresses are read as ipaddress reads them, only faster."""

from __future__ import annotations

from ipaddress import AddressValueError, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.model.packet import read_address

OCTETS = st.one_of(
    st.integers(0, 300).map(str),
    st.sampled_from(["", "00", "01", "010", "1e1", " 1", "1 ", "٣", "+1", "-1", "0x1"]),
)


def read_plainly(text: str) -> object:
    try:
        return ip_address(text)
    except ValueError:
        return ValueError


@given(
    st.one_of(
        st.lists(OCTETS, min_size=3, max_size=5).map(".".join),
        st.ip_addresses().map(str),
        st.text(alphabet="0123456789abcdef.:/% \n", max_size=40),
    )
)
def test_an_address_is_read_as_ipaddress_reads_it(text: str) -> None:
    plain = read_plainly(text)
    if plain is ValueError:
        with pytest.raises(AddressValueError):
            read_address(text)
    else:
        assert read_address(text) == plain
