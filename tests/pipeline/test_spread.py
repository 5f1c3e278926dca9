"""Work in parts: the same results in the same order, errors come through, nothing stays behind."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import pytest

from kinspect.errors import NotFound
from kinspect.pipeline.spread import spread

ITEMS = list(range(1000))


@pytest.mark.parametrize("cores", [1, 2, 3, 7])
def test_parts_come_back_in_order(cores: int) -> None:
    results = spread(ITEMS, lambda part: (os.getpid(), list(part)), cores=cores)
    assert [item for _, part in results for item in part] == ITEMS
    assert len({pid for pid, _ in results}) == min(cores, len(ITEMS) // 200)


def test_few_items_are_not_worth_a_process() -> None:
    assert spread(ITEMS[:399], lambda part: os.getpid(), cores=8) == [os.getpid()]
    assert spread([], len, cores=8) == [0]


def test_what_is_raised_in_a_part_is_raised_here_and_no_process_is_left() -> None:
    def work(part: Sequence[int]) -> int:
        if part[0]:
            raise NotFound("there is no such thing", hint="look elsewhere")
        return 1

    with pytest.raises(NotFound, match="no such thing"):
        spread(ITEMS, work, cores=3)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_an_interrupt_does_not_wait_for_the_other_parts() -> None:
    def work(part: Sequence[int]) -> int:
        if part[0]:
            time.sleep(60)
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        spread(ITEMS, work, cores=2)
    assert time.monotonic() - began < 30
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
