"""Work in parts: the same results in the same order, errors come through, nothing stays behind."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from kinspect.errors import NotFound, RulesError
from kinspect.pipeline.processes import spread

ITEMS = list(range(1000))


@pytest.mark.parametrize("cores", [1, 2, 3, 7])
def test_parts_come_back_in_order(cores: int) -> None:
    results = spread(ITEMS, lambda part: (os.getpid(), list(part)), cores=cores)
    assert [item for _, part in results for item in part] == ITEMS
    assert len({pid for pid, _ in results}) == min(cores, len(ITEMS) // 200)


def test_few_items_are_not_worth_a_process() -> None:
    assert spread(ITEMS[:399], lambda part: os.getpid(), cores=8) == [os.getpid()]
    assert spread([], len, cores=8) == [0]


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processes that are started."""
    pids: list[int] = []
    fork = os.fork

    def noting() -> int:
        pid = fork()
        pids.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", noting)
    return pids


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_an_error_comes_through_as_it_was() -> None:
    error = RulesError("no such thing", source="dump", line=3, text="-A X", column=3, width=1, hint="look")

    def work(part: Sequence[int]) -> RulesError:
        if part[0] == 500:
            return error
        raise error

    with pytest.raises(RulesError) as found:
        spread(ITEMS, lambda part: work(part) if part[0] else 1, cores=3)
    _, returned = spread(ITEMS, lambda part: work(part) if part[0] else 1, cores=2)
    assert isinstance(returned, RulesError)
    for again in (found.value, returned):
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_what_is_raised_in_a_part_is_raised_here_and_no_process_is_left(forked: list[int]) -> None:
    def work(part: Sequence[int]) -> int:
        if part[0]:
            raise NotFound("there is no such thing", hint="look elsewhere")
        return 1

    with pytest.raises(NotFound, match="no such thing"):
        spread(ITEMS, work, cores=3)
    assert len(forked) == 2
    assert alive(forked) == []


def test_an_interrupt_does_not_wait_for_the_other_parts(forked: list[int]) -> None:
    def work(part: Sequence[int]) -> int:
        if part[0]:
            threading.Event().wait()  # for ever
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        spread(ITEMS, work, cores=2)
    assert len(forked) == 1
    assert alive(forked) == []
