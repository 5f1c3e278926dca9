"""``check --wait`` and ``--observe``: readings one after the other, of a cluster that changes."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kinspect.errors import ApiError, Status
from kinspect.model.check import Assertion, NoTraffic, Observed, ToNode
from kinspect.pipeline.check import CheckRequest, Reading, read_and_judge
from kinspect.pipeline.gather.sources import Live, Recorded, Source
from kinspect.pipeline.until import check_until
from tests.clusters import DATA

GONE = DATA / "flows-3-pod-left"
LIVE = Live()


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def readings(*folders: Path | Exception) -> Callable[..., Reading]:
    """Reads one folder after the other; the last again and again."""
    left: Iterator[Path | Exception] = iter((*folders, *[folders[-1]] * 99))

    def read(request: CheckRequest, source: Source, *, connections: bool = False) -> Reading:
        folder = next(left)
        if isinstance(folder, Exception):
            raise folder
        return read_and_judge(request, Recorded(folder), connections=connections)

    return read


def asked(*, established: bool = False) -> CheckRequest:
    claim = NoTraffic(to=(ToNode("node2"),), established=established)
    return CheckRequest(assertions=[Assertion(name="x", claim=claim)])


@pytest.fixture
def state(tmp_path: Path) -> Callable[[str, Callable[[str], str]], Path]:
    """Copies with other tables."""

    def make(name: str, change: Callable[[str], str]) -> Path:
        folder = Path(shutil.copytree(GONE, tmp_path / name))
        for table in folder.glob("nodes/*/conntrack.txt"):
            table.write_text(change(table.read_text()))
        return folder

    return make


def quiet(seconds: int) -> Callable[[str], str]:
    """TCP alone, each timeout run down by so much."""

    def change(text: str) -> str:
        lines = [line for line in text.splitlines(keepends=True) if " tcp " in line]
        return re.sub(r"43199\d", str(431000 - seconds), "".join(lines))

    return change


def moved(answer_findings: object) -> list[Observed]:
    return [f.problem for f in answer_findings if isinstance(f.problem, Observed)]  # type: ignore[attr-defined]


Make = Callable[[str, Callable[[str], str]], Path]


def test_it_waits_until_the_last_connection_is_closed(state: Make) -> None:
    open_, closed = state("open", lambda text: text), state("closed", lambda text: "")
    clock = Clock()
    read = readings(open_, ApiError("away for a moment"), open_, closed)
    answer = check_until(asked(established=True), LIVE, wait=600, read=read, sleep=clock.sleep, clock=clock)
    assert (answer.status, clock.now) == ("answered", 115)


def test_when_the_time_is_up_the_last_answer_counts(state: Make) -> None:
    clock = Clock()
    read = readings(state("open", lambda text: text))
    answer = check_until(asked(established=True), LIVE, wait=12, read=read, sleep=clock.sleep, clock=clock)
    assert (answer.status, clock.now) == ("violated", 112)
    with pytest.raises(ApiError):
        check_until(asked(), LIVE, wait=7, read=readings(ApiError("gone")), sleep=clock.sleep, clock=clock)


def observed(*folders: Path) -> tuple[Status, list[Observed]]:
    clock = Clock()
    answer = check_until(asked(), LIVE, observe=10, read=readings(*folders), sleep=clock.sleep, clock=clock)
    return answer.status, moved(answer.judged[0].findings)


def test_connections_that_carry_nothing_pass(state: Make) -> None:
    assert observed(state("a", quiet(0)), state("b", quiet(5)), state("c", quiet(10))) == ("answered", [])


def test_a_packet_begins_a_timeout_anew(state: Make) -> None:
    code, found = observed(state("a", quiet(100)), state("b", quiet(103)), state("c", quiet(109)))
    assert code == "answered", "five seconds may be three and a rounding"
    code, found = observed(state("d", quiet(100)), state("e", quiet(100)))
    assert code == "violated"
    assert {(f.what, f.to.rpartition(":")[0]) for f in found} >= {("refreshed", "10.42.20.2")}


def test_a_new_connection_is_seen(state: Make) -> None:
    fewer = state("a", lambda text: "".join(quiet(0)(text).splitlines(keepends=True)[3:]))
    code, found = observed(fewer, state("b", quiet(5)))
    assert (code, {f.what for f in found}) == ("violated", {"opened"})


def test_packets_are_compared_if_the_node_counts_them(state: Make) -> None:
    def counted(packets: int, timeout: int) -> Callable[[str], str]:
        return lambda text: re.sub(
            r"(dport=\d+) (src|\[)", rf"\1 packets={packets} bytes=9 \2", quiet(timeout)(text)
        ).replace(" [ASSURED]", f" packets={packets} bytes=9 [ASSURED]")

    assert observed(state("a", counted(7, 0)), state("b", counted(7, 0)))[0] == "answered"
    code, found = observed(state("c", counted(7, 0)), state("d", counted(9, 5)))
    assert (code, {f.what for f in found}) == ("violated", {"packets"})


def test_a_rule_that_counts_sends_there(state: Make) -> None:
    before, after = state("a", quiet(0)), state("b", quiet(5))
    rules = after / "nodes/node1/iptables-save.txt"
    sending = "-A KUBE-SEP-X -p tcp -m tcp -j DNAT --to-destination 10.42.20.2:7000"
    for folder, packets in ((before, 4), (after, 6)):
        rules = folder / "nodes/node1/iptables-save.txt"
        rules.write_text(
            rules.read_text().replace("*nat\n", f"*nat\n:KUBE-SEP-X - [0:0]\n[{packets}:9] {sending}\n")
        )
    assert observed(before, after) == (
        "violated",
        [Observed("counted", "node1", "10.42.20.2:7000", 2)],
    )


def test_a_table_that_is_missing_is_not_a_quiet_one(state: Make) -> None:
    before, after = state("a", quiet(0)), state("b", quiet(5))
    (after / "nodes/node2/conntrack.txt").unlink()
    assert observed(before, after)[0] == "undetermined"
