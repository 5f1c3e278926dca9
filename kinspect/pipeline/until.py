"""``check --wait`` and ``--observe``: one answer after the other, until it holds, or while nothing moves."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

import msgspec

from kinspect.checks.assertions.observed import Counted, observed
from kinspect.errors import CallError, ExitCode, KinspectError
from kinspect.model.check import Assertion, CheckAnswer, Finding
from kinspect.pipeline.check import CheckRequest, Reading, read_and_judge
from kinspect.pipeline.existing import Asked, unknown_connections
from kinspect.pipeline.gather.sources import Live, Source
from kinspect.snapshot import types as names
from kinspect.snapshot.types import Snapshot

_PAUSE: Final = 5.0  # seconds between two readings
_LEAST: Final = 5.0  # seconds to watch: timeouts are whole seconds, and read some time apart
_SAVES: Final = (
    names.IPTABLES, names.IPTABLES_LEGACY, names.IPTABLES_NFT,
    names.IP6TABLES, names.IP6TABLES_LEGACY, names.IP6TABLES_NFT,
)  # fmt: skip
_SENDS: Final = re.compile(rb"^\[(\d+):\d+\] (-A [^\n]*--to-destination (\S+)[^\n]*)$", re.M)


def check_until(
    request: CheckRequest,
    source: Source,
    *,
    wait: float = 0,
    observe: float = 0,
    read: Callable[..., Reading] = read_and_judge,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> CheckAnswer:
    """Ask again until all assertions hold, for ``wait`` seconds at most; then watch for ``observe`` seconds.

    The last answer counts. Raises KinspectError: the source does not change, or could not be read to
    the end of the time.
    """
    if not isinstance(source, Live):
        raise CallError("--wait and --observe need a live cluster", hint="a snapshot does not change")
    if 0 < observe < _LEAST:
        raise CallError(
            f"--observe {observe:g}s is too short to see a packet by", hint=f"{_LEAST:g}s or more"
        )
    limit = clock() + wait
    connections = observe > 0
    while True:
        try:
            reading = read(request, source, connections=connections)
            if observe and reading.answer.status == "answered":
                reading = _watched(request, source, reading, observe, read, sleep, clock)
            if reading.answer.status == "answered" or clock() >= limit:
                return reading.answer
        except KinspectError as error:
            if clock() >= limit or error.exit_code is ExitCode.CALL:
                raise
        sleep(max(0.0, min(_PAUSE, limit - clock())))


def _watched(
    request: CheckRequest,
    source: Source,
    first: Reading,
    seconds: float,
    read: Callable[..., Reading],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Reading:
    """Read again until the time is up, or something moved since the first reading: with what moved.

    Each is held against the first: the longer the time between, the surer a timeout tells of a packet.
    """
    began = clock()
    last = first
    while clock() < began + seconds and last.answer.status == "answered":
        sleep(max(0.0, min(_PAUSE, began + seconds - clock())))
        quiet = clock() - began
        last = _compared(first, read(request, source, connections=True), quiet)
    return last


def _compared(before: Reading, after: Reading, seconds: float) -> Reading:
    """A reading with what moved since the one before; ``seconds`` passed between them at least."""
    moved: dict[Assertion, list[Finding]] = {}
    earlier = {one.assertion: one for one in before.asked}
    for now in after.asked:
        was = earlier.get(now.assertion)
        if was is None or before.connections is None or after.connections is None:
            continue
        flows = was.watched(before.connections.flows), now.watched(after.connections.flows)
        rules = _counted(before.snapshot, was), _counted(after.snapshot, now)
        moved[now.assertion] = list(observed(*flows, seconds, rules))
        moved[now.assertion] += unknown_connections(after.connections)
    judged = tuple(
        msgspec.structs.replace(result, findings=(*result.findings, *moved.get(result.assertion, ())))
        for result in after.answer.judged
    )
    answer = msgspec.structs.replace(after.answer, judged=judged)
    return Reading(answer, after.snapshot, after.asked, after.connections)


def _counted(snapshot: Snapshot, asked: Asked) -> Counted:
    """The counters of all rules that send to an address that should get nothing."""
    found: dict[tuple[str, str, str], int] = {}
    for node, files in snapshot.nodes.items():
        for file in _SAVES:
            for packets, rule, to in _SENDS.findall(files[file]) if file in files else ():
                text = to.decode("utf-8", "replace")
                if asked.sends_there(text):
                    key = (node, rule.decode("utf-8", "replace"), text)
                    found[key] = found.get(key, 0) + int(packets)
    return found
