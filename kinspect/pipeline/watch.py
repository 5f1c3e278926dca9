"""``kinspect watch``: reads the rules' counters of each node again and again, and says what was gained."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from kinspect.collect import api_lists as kube
from kinspect.collect.ports import CounterShell, RemoteNode
from kinspect.collect.transports import open_shell
from kinspect.errors import CallError, KinspectError
from kinspect.flows.counters import Expected, NodeTally, chains_of, counters, expected, judged
from kinspect.model.cluster import Service
from kinspect.model.counts import ReadingAnswer
from kinspect.model.diagnostics import Diagnostics, Undetermined
from kinspect.model.packet import Family
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.user.target import ServiceTarget
from kinspect.pipeline.gather.live import hosts_of
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.read import read_facts
from kinspect.pipeline.gather.sources import Live, Source, Wanted
from kinspect.pipeline.trace import TraceRequest, of_target
from kinspect.snapshot import types as names
from kinspect.snapshot.manifest import now
from kinspect.snapshot.types import Files

_SAVES: Final = (
    names.IPTABLES, names.IPTABLES_LEGACY, names.IPTABLES_NFT,
    names.IP6TABLES, names.IP6TABLES_LEGACY, names.IP6TABLES_NFT,
)  # fmt: skip
_AGAIN: Final = 5.0  # seconds before a node that went away is tried again, at least
_LATE: Final = 2.5  # intervals after which a reading is overdue: a node takes its time to print one

Came: TypeAlias = tuple[str, float, Files | Exception]
"""A node's reading, or why there is none, and when it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchRequest:
    """What to watch: ``interval`` in whole seconds, ``seconds`` for how long (0: until interrupted)."""

    target: ServiceTarget
    namespace: str | None = None
    nodes: Sequence[str] = ()
    family: Family | None = None
    interval: int = 5
    seconds: float = 0


@dataclass(frozen=True, slots=True)
class Look:
    """What the rules of some nodes say: the shares, the texts of the service's rules, what is not known."""

    service: Service
    nodes: Mapping[str, tuple[tuple[Expected, ...], frozenset[str]]]
    failed: Mapping[str, str] = field(default_factory=dict)
    undetermined: tuple[Undetermined, ...] = ()


def look(request: WatchRequest, source: Source, nodes: Sequence[str]) -> Look:
    """Read the API and these nodes (none: all), and trace every way in. Raises KinspectError."""
    target = request.target
    wanted = Wanted(service=(target.namespace, target.name), namespace=request.namespace, nodes=nodes)
    snapshot, namespace = opened(source, wanted)
    facts = read_facts(snapshot, nodes)
    trace = TraceRequest(target=target, namespace=request.namespace, via="all", family=request.family)
    answer = of_target(trace, facts, namespace)
    if answer.service is None:
        raise CallError("watch needs the services of the API")
    found = expected(answer.traces)
    by_node = {}
    for name in facts.states:
        here = tuple(one for one in found if one.node == name)
        texts = _counters(snapshot.nodes[names.NodeName(name)], answer.service, here)
        by_node[name] = here, frozenset(texts)
    unread = {str(name): why for name, why in snapshot.failed.items()}
    open_facts = tuple(entry for entry in answer.undetermined if entry.node not in unread)
    return Look(answer.service, by_node, unread, open_facts)


def _counters(files: Files, service: Service, rules: Sequence[Expected]) -> dict[str, int]:
    """The counters of a service's rules in a node's dumps."""
    counting: frozenset[str] = frozenset().union(*(one.rules for one in rules))
    return counters((files[name] for name in _SAVES if name in files), chains_of(service), counting)


class Watch:
    """What was counted so far at each node."""

    def __init__(self, request: WatchRequest, again: Callable[[Sequence[str]], Look]) -> None:
        """Look at all nodes; ``again`` looks at some, when their rules have changed. Raises KinspectError."""
        self._interval = request.interval
        self._again = again
        first = again(request.nodes)
        self.service = first.service
        self._tallies = {name: NodeTally(name, *found) for name, found in first.nodes.items()}
        self._undetermined = list(first.undetermined)
        for name, why in first.failed.items():
            self._tallies[name] = NodeTally(name, (), frozenset())
            self._tallies[name].lost(why)

    def knows(self, node: str) -> bool:
        """Whether a node is one of those that are watched."""
        return node in self._tallies

    def take(self, came: Sequence[Came], at: float) -> None:
        """Count what came since the last reading."""
        changed: dict[str, None] = {}
        for name, when, what in came:
            tally = self._tallies[name]
            if isinstance(what, KinspectError):
                tally.lost(str(what))
                continue
            if isinstance(what, Exception):
                raise what
            found = _counters(what, self.service, tally.rules)
            if tally.changed(found):
                changed[name] = None
            else:
                changed.pop(name, None)
                tally.read(found, when)
        if changed:
            self._look_again(list(changed))
        heard = {name for name, _, _ in came}
        for name, tally in self._tallies.items():
            if name not in heard and at - tally.at > _LATE * self._interval:
                tally.overdue()

    def _look_again(self, nodes: Sequence[str]) -> None:
        """Take up the rules that these nodes have now; what cannot be read is tried again next time."""
        try:
            found = self._again(nodes)
        except KinspectError as error:
            for name in nodes:
                self._tallies[name].lost(f"its rules changed, and cannot be read: {error}")
            return
        self.service = found.service
        self._undetermined = [entry for entry in self._undetermined if entry.node not in nodes]
        self._undetermined += [entry for entry in found.undetermined if entry not in self._undetermined]
        for name in nodes:
            if name in found.nodes:
                self._tallies[name].rewritten(*found.nodes[name])
            else:
                self._tallies[name].lost(found.failed.get(name, "it cannot be read"))

    def answer(self, number: int, elapsed: float) -> ReadingAnswer:
        """The reading as it stands."""
        nodes = [self._tallies[name].reading() for name in sorted(self._tallies)]
        counts = [one for name in sorted(self._tallies) for one in self._tallies[name].counts()]
        gone = [
            Undetermined(text=f"{each.node}: {each.why}", node=each.node)
            for each in nodes
            if each.condition == "gone"
        ]
        return ReadingAnswer(
            number=number,
            time=now(),
            elapsed=elapsed,
            service=self.service,
            nodes=tuple(nodes),
            counts=judged(counts, sticky=self.service.affinity_seconds is not None),
            diagnostics=Diagnostics((*gone, *self._undetermined)),
        )


def watch(request: WatchRequest, source: Source) -> Iterator[ReadingAnswer]:
    """A reading at each interval, until the time is up. Raises KinspectError: nothing can be read at all."""
    if not isinstance(source, Live):
        raise CallError(
            "watch needs a live cluster", hint="trace --counters shows what the rules of a snapshot counted"
        )
    if request.interval < 1:
        raise CallError("--interval must be 1s at least")
    if 0 < request.seconds < request.interval:
        raise CallError("--for is shorter than --interval", hint="two readings make a rate")
    quiet = replace(source, progress=None)
    state = Watch(request, lambda nodes: look(request, quiet, nodes))
    with kube.connect(source.kubeconfig, source.context) as api:
        cluster = Cluster({"nodes.json": api.list("nodes")}, api.where)
        shell = open_shell(source.reach, api)
        yield from _readings(
            request, state, shell, hosts_of(cluster, request.nodes, source.exclude, api.where)
        )


def _readings(
    request: WatchRequest, state: Watch, shell: CounterShell, hosts: Sequence[RemoteNode]
) -> Iterator[ReadingAnswer]:
    came: queue.Queue[Came] = queue.Queue()
    stop = threading.Event()
    for host in hosts:
        if state.knows(host.name):
            words = (shell, host, request.interval, came, stop)
            threading.Thread(target=_follow, args=words, name="watch", daemon=True).start()
    began = time.monotonic()
    number = 0
    try:
        while not request.seconds or number * request.interval < request.seconds:
            number += 1
            until = began + number * request.interval
            state.take(list(_within(came, until)), time.monotonic())
            yield state.answer(number, time.monotonic() - began)
    finally:
        stop.set()
        shell.close()


def _within(came: queue.Queue[Came], until: float) -> Iterator[Came]:
    """What comes up to a moment of ``time.monotonic``."""
    while True:
        try:
            yield came.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return


def _follow(
    shell: CounterShell, host: RemoteNode, interval: int, came: queue.Queue[Came], stop: threading.Event
) -> None:
    """Read one node until it is enough; one that goes away is tried again."""
    while not stop.is_set():
        try:
            for files in shell.readings(host, interval):
                came.put((host.name, time.monotonic(), files))
                if stop.is_set():
                    return
        except Exception as error:  # whoever takes it tells a fault of ours from one of the node
            came.put((host.name, time.monotonic(), error))
        stop.wait(max(_AGAIN, interval))
