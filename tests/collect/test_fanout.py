"""Many nodes at once."""

from __future__ import annotations

import threading
import time

import pytest

from kinspect.collect.fanout import gather
from kinspect.collect.ports import RemoteNode
from kinspect.errors import NodeError
from kinspect.snapshot.types import Files, NodeName

HOSTS = [RemoteNode(NodeName(f"n{i}"), {}) for i in range(12)]


class Shell:
    """A NodeShell whose nodes answer late, fail, or interrupt."""

    transport = "none"

    def address(self, host: RemoteNode) -> str:
        return host.name

    def __init__(self, failing: set[str] = frozenset(), interrupting: str | None = None) -> None:  # type: ignore[assignment]
        self.failing, self.interrupting = failing, interrupting
        self.at_once = self.most = 0
        self.closed = False
        self.lock = threading.Lock()

    def fetch(self, host: RemoteNode) -> Files:
        with self.lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        time.sleep(0.02)
        with self.lock:
            self.at_once -= 1
        if host.name == self.interrupting:
            raise KeyboardInterrupt
        if host.name in self.failing:
            raise NodeError("it is on fire")
        return {"name": host.name.encode()}

    def close(self) -> None:
        self.closed = True


def test_results_are_in_the_order_of_the_hosts_and_failures_stop_nobody() -> None:
    told: dict[str, str | None] = {}
    done, failed = gather(Shell({"n3", "n7"}), HOSTS, progress=told.__setitem__)
    assert list(done) == [h.name for h in HOSTS if h.name not in ("n3", "n7")]
    assert failed == {"n3": "it is on fire", "n7": "it is on fire"}
    assert told == {h.name: failed.get(h.name) for h in HOSTS}


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_at_once_than_asked(parallel: int) -> None:
    shell = Shell()
    gather(shell, HOSTS, parallel)
    assert shell.most == parallel


def test_an_interrupt_ends_what_runs_and_goes_on() -> None:
    shell = Shell(interrupting="n0")
    with pytest.raises(KeyboardInterrupt):
        gather(shell, HOSTS, 2)
    assert shell.closed


def test_no_hosts() -> None:
    assert gather(Shell(), []) == ({}, {})
