"""A whole live cluster read for keeping: every list and every node, with a record of each.

What fails is a record, not an end; an interrupt ends the reading and leaves what was read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from kinspect.collect import api_lists as kube
from kinspect.collect.fanout import gather
from kinspect.collect.ports import ApiKind, ClusterApi, NodeShell, RemoteNode
from kinspect.collect.transports import open_shell
from kinspect.errors import ApiError, KinspectError
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.gather.api_lists import ServiceKey, differing
from kinspect.pipeline.gather.live import hosts_of
from kinspect.pipeline.gather.sources import Live
from kinspect.snapshot.manifest import INTERRUPTED, NodeRecord, now
from kinspect.snapshot.types import Fetched, Files, NodeName

_KINDS: Final[tuple[ApiKind, ...]] = ("services", "endpointslices", "endpoints", "pods", "namespaces")


@dataclass(slots=True)
class Reading:
    """What was read so far."""

    origin: str
    api: dict[str, bytes] = field(default_factory=dict)
    failed_lists: dict[str, str] = field(default_factory=dict)
    services: list[ServiceKey] = field(default_factory=list)  # those that were asked for
    nodes: dict[NodeName, Files] = field(default_factory=dict)
    records: dict[str, NodeRecord] = field(default_factory=dict)
    changed: set[ServiceKey] = field(default_factory=set)
    interrupted: bool = False


def read_cluster(
    source: Live, namespace: str | None, services: Sequence[tuple[str | None, str]], nodes: Sequence[str]
) -> Reading:
    """Read the API, then the nodes, then whether endpoints moved meanwhile.

    Raises ApiError where the nodes cannot be listed, NotFound for a service or node that is not there.
    """
    with kube.connect(source.kubeconfig, source.context) as api:
        reading = Reading(api.where)
        wanted = [(space or namespace or api.namespace, name) for space, name in services]
        spaces: set[str | None] = {space for space, _ in wanted} or {namespace}
        space = spaces.pop() if len(spaces) == 1 else None
        reading.api["nodes.json"] = api.list("nodes")
        hosts = hosts_of(Cluster(reading.api, reading.origin), nodes, reading.origin, source.exclude)
        reading.records = {host.name: NodeRecord(error=INTERRUPTED) for host in hosts}
        _until_interrupt(reading, lambda: _read_lists(api, reading, space))
        reading.services = wanted
        if "services.json" in reading.api:
            cluster = Cluster(reading.api, reading.origin)
            for key in wanted:
                cluster.service(*key)  # raises NotFound, before any node is asked
        _until_interrupt(reading, lambda: _read_nodes(source, open_shell(source.reach, api), reading, hosts))
        _until_interrupt(reading, lambda: _compare(api, reading, space))
    return reading


def _until_interrupt(reading: Reading, step: Callable[[], None]) -> None:
    if reading.interrupted:
        return
    try:
        step()
    except KeyboardInterrupt:
        reading.interrupted = True


def _read_lists(api: ClusterApi, reading: Reading, space: str | None) -> None:
    """Every list, and the server's version; one that fails is told, and the others are read."""
    steps: dict[str, Callable[[], bytes | None]] = {"version": api.version}
    for kind in _KINDS:
        steps[kind] = partial(_list, api, reading, kind, space)
    waiting = dict.fromkeys(steps, INTERRUPTED)
    try:
        for name, step in steps.items():
            try:
                data = step()
            except ApiError as error:
                waiting[name] = str(error)
                continue
            del waiting[name]
            if data is not None:
                reading.api[f"{name}.json"] = data
    finally:
        reading.failed_lists = waiting


def _list(api: ClusterApi, reading: Reading, kind: ApiKind, space: str | None) -> bytes | None:
    if kind == "namespaces":
        return api.list(kind, name=space)
    if kind == "endpoints" and not _needs_endpoints(reading):
        return None
    return api.list(kind, namespace=space)


def _needs_endpoints(reading: Reading) -> bool:
    """Whether there are no EndpointSlices, so that Endpoints say what there is."""
    return "endpointslices.json" in reading.api and not Cluster(reading.api, "").has_slices()


def _read_nodes(source: Live, shell: NodeShell, reading: Reading, hosts: Sequence[RemoteNode]) -> None:
    gather(_Recorder(shell, reading), hosts, source.parallel, source.progress)


class _Recorder:
    """A NodeShell that writes down how another one fared, as it fares: an interrupt loses nothing."""

    def __init__(self, shell: NodeShell, reading: Reading) -> None:
        self._shell = shell
        self._reading = reading

    def fetch(self, host: RemoteNode) -> Files:
        """What the other shell brings."""
        started = now()
        try:
            files = self._shell.fetch(host)
        except KinspectError as error:
            self._reading.records[host.name] = self._record(host, started, error=str(error))
            raise
        self._reading.nodes[host.name] = files
        self._reading.records[host.name] = self._record(host, started, files)
        return files

    def close(self) -> None:
        """End what runs."""
        self._shell.close()

    @property
    def transport(self) -> str:
        """The other shell's."""
        return self._shell.transport

    def address(self, host: RemoteNode) -> str:
        """Where the other shell looks for a node."""
        return self._shell.address(host)

    def _record(
        self, host: RemoteNode, started: str, files: Files | None = None, error: str | None = None
    ) -> NodeRecord:
        return NodeRecord(
            transport=self.transport,
            target=self._target(host),
            started=started,
            finished=now(),
            commands=files.ran if isinstance(files, Fetched) else (),
            error=error,
        )

    def _target(self, host: RemoteNode) -> str | None:
        """Where the node was looked for, if anywhere."""
        try:
            return self.address(host)
        except KinspectError:
            return None


def _compare(api: ClusterApi, reading: Reading, space: str | None) -> None:
    """Whose endpoints are not those that were read before the nodes: rules then may be of either."""
    kind: ApiKind = "endpoints" if "endpoints.json" in reading.api else "endpointslices"
    before: Mapping[str, bytes] = reading.api
    if f"{kind}.json" not in before:
        return
    try:
        after = api.list(kind, namespace=space)
    except ApiError as error:
        reading.failed_lists[f"{kind}, read again"] = str(error)
        return
    reading.changed = differing(before[f"{kind}.json"], after, kind)
