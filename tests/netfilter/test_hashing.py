from __future__ import annotations

from ipaddress import ip_address

import pytest

from kinspect.netfilter.hashing import chosen_address, jhash2


@pytest.mark.parametrize(
    ("words", "start", "value"),
    # include/linux/jhash.h, compiled and run.
    [
        ([], 0, 0xDEADBEEF),
        ([1], 0, 0x72A82A9B),
        ([1, 2, 3], 7, 0xFBD612AD),
        ([1, 2, 3, 4], 0, 0x66491246),
        ([9] * 7, 5, 0xFDF74900),
    ],
)
def test_the_hash_is_the_kernel_s(words: list[int], start: int, value: int) -> None:
    assert jhash2(words, start) == value


@pytest.mark.parametrize("last", range(30))
def test_what_is_chosen_is_in_the_range(last: int) -> None:
    low, high = ip_address("fd00::5"), ip_address("fd00::1:3")
    chosen = chosen_address(low, high, ip_address(f"fd01::{last}"), ip_address("fd02::1"))
    assert chosen.version == 6
    assert chosen.packed[:12] == low.packed[:12]


def test_a_range_of_one_is_that_one() -> None:
    one = ip_address("10.0.0.1")
    assert chosen_address(one, one, ip_address("10.1.0.1"), ip_address("10.2.0.1")) == one


def test_persistent_leaves_the_destination_out() -> None:
    low, high = ip_address("10.0.0.0"), ip_address("10.0.255.255")
    chosen = {
        chosen_address(low, high, ip_address("10.1.0.1"), ip_address(f"10.2.0.{n}"), persistent=True)
        for n in range(20)
    }
    assert len(chosen) == 1
