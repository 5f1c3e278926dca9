"""Reads a live cluster, for every command: the API first, then the nodes, then what moved meanwhile.

A ``Plan`` says which lists are needed and what happens when a part cannot be read. A command that
answers needs every list it asks for, and stops without one. A command that keeps what it reads
records what fails and goes on; an interrupt ends its reading, and leaves what was read until then.
A node that fails is recorded by both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from kinspect import __version__
from kinspect.collect import api_lists as kube
from kinspect.collect.fanout import gather
from kinspect.collect.options import EVERY_CONNECTION, NodeOptions
from kinspect.collect.ports import ApiKind, ClusterApi, NodeShell, RemoteNode
from kinspect.collect.transports import open_shell
from kinspect.errors import ApiError, CallError, KinspectError, NotAllowed, NotFound
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.gather.api_lists import SERVICE_LABEL, ServiceKey, differing
from kinspect.pipeline.gather.sources import Live, Wanted, check_excluded
from kinspect.snapshot.manifest import INTERRUPTED, ListRecord, Manifest, NodeRecord, now
from kinspect.snapshot.types import Fetched, Files, NodeName, Snapshot

_OPTIONAL: Final[tuple[ApiKind, ...]] = ("pods",)
_ANSWER: Final[tuple[ApiKind, ...]] = ("services", "endpointslices", "endpoints")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to read of a cluster.

    ``kinds`` are the lists besides that of the nodes; Endpoints are read only if there are no
    EndpointSlices. ``optional`` are those without which the answer goes on if we may not read them.
    Nodes are those named, or all, and bring up to ``connections`` connections of each family.
    ``settles``: services for which all is read once more if their endpoints change meanwhile.
    """

    kinds: Sequence[ApiKind] = _ANSWER
    services: Sequence[tuple[str | None, str]] = ()  # namespace or the one in use, name
    namespace: str | None = None
    nodes: Sequence[str] = ()
    connections: int = 0
    for_keeping: bool = False
    optional: Collection[ApiKind] = ()
    settles: Callable[[ServiceKey], bool] | None = None


@dataclass(frozen=True, slots=True)
class _Scope:
    """What the API is asked for: all, or the objects of a namespace or of a service."""

    namespace: str | None = None
    service: str | None = None


@dataclass(slots=True)
class Reading:
    """What was read so far, with a record of what failed."""

    origin: str
    namespace: str
    """The namespace in use: the plan's, or the context's."""
    started: str = field(default_factory=now)
    api: dict[str, bytes] = field(default_factory=dict)
    failed_lists: dict[str, str] = field(default_factory=dict)
    services: list[ServiceKey] = field(default_factory=list)  # those that were asked for
    nodes: dict[NodeName, Files] = field(default_factory=dict)
    records: dict[str, NodeRecord] = field(default_factory=dict)
    changed: set[ServiceKey] = field(default_factory=set)
    interrupted: bool = False
    excluded: frozenset[str] = frozenset()  # nodes that are left out on purpose

    def snapshot(self) -> Snapshot:
        """What was read, with its manifest; a node that failed is in it, with the reason."""
        manifest = Manifest(
            kinspect=__version__,
            started=self.started,
            finished=now(),
            complete=not self.interrupted,
            source=self.origin,
            api={kind: ListRecord(error=why) for kind, why in self.failed_lists.items()},
            changed=tuple("/".join(key) for key in sorted(self.changed)),
            nodes=dict(self.records),
        )
        read = {NodeName(name): self.nodes[NodeName(name)] for name in self.records if name in self.nodes}
        failed = {NodeName(name): record.error for name, record in self.records.items() if record.error}
        return Snapshot(self.origin, self.api, read, failed, manifest=manifest, excluded=self.excluded)

    @property
    def endpoints(self) -> ApiKind:
        """The kind of list that endpoints are taken from."""
        return "endpoints" if "endpoints.json" in self.api else "endpointslices"


def needed(wanted: Wanted) -> Plan:
    """The plan for an answer."""
    return Plan(
        kinds=(*_ANSWER, "pods") if wanted.pods else _ANSWER,
        services=(wanted.service,) if wanted.service else (),
        namespace=wanted.namespace,
        nodes=wanted.nodes,
        connections=EVERY_CONNECTION if wanted.connections else 0,
        optional=_OPTIONAL if wanted.pods_if_allowed else (),
        settles=wanted.settles,
    )


def read_cluster(source: Live, plan: Plan) -> Reading:
    """Read the API, then the nodes, then whether endpoints moved meanwhile.

    Raises ApiError if the nodes cannot be listed, and without ``plan.for_keeping`` for any list;
    NotFound for a service or node that is not there, before any node is asked.
    """
    with kube.connect(source.kubeconfig, source.context) as api:
        reading = Reading(api.where, plan.namespace or api.namespace, excluded=source.exclude)
        reading.services = [(space or reading.namespace, name) for space, name in plan.services]
        scope = _scope(plan, reading)
        reading.api["nodes.json"] = api.list("nodes")
        hosts = hosts_of(Cluster(reading.api, reading.origin), plan.nodes, source.exclude, reading.origin)
        reading.records = {host.name: NodeRecord(error=INTERRUPTED) for host in hosts}
        steps: tuple[Callable[[], None], ...] = (
            lambda: _read_lists(api, reading, plan, scope),
            lambda: _read_nodes(source, _shell(source.reach, plan, api), reading, hosts),
            lambda: _compare(api, reading, scope),
        )
        for step in steps:
            try:
                step()
            except KeyboardInterrupt:
                if not plan.for_keeping:
                    raise
                reading.interrupted = True
                break
        if plan.settles is not None and any(map(plan.settles, reading.changed)):
            # Rules may be of before the change or of after it. Most changes are over by now.
            for step in steps:
                step()
    return reading


def list_kind(kubeconfig: str | None, context: str | None, kind: ApiKind, timeout: float) -> Files:
    """One list, with little patience: for shell completion. Raises ApiError, CallError."""
    with kube.connect(kubeconfig, context, connect_timeout=timeout, read_timeout=timeout) as api:
        return {f"{kind}.json": api.list(kind)}


def _scope(plan: Plan, reading: Reading) -> _Scope:
    """An answer about one service needs no other; what is kept is of one namespace, if it can be."""
    if plan.for_keeping:
        spaces: set[str | None] = {space for space, _ in reading.services} or {plan.namespace}
        return _Scope(spaces.pop() if len(spaces) == 1 else None)
    if len(reading.services) == 1:
        return _Scope(*reading.services[0])
    return _Scope()


def hosts_of(
    cluster: Cluster, wanted: Sequence[str], exclude: Collection[str], origin: str
) -> list[RemoteNode]:
    """The nodes of the API that are wanted, or all but those to exclude. Raises NotFound, CallError."""
    nodes = cluster.nodes
    check_excluded(exclude, list(nodes), origin)
    for name in wanted:
        if name in exclude:
            raise CallError(f"node {name} is asked for, and excluded by --exclude-node")
    unknown = [name for name in wanted if name not in nodes]
    if unknown:
        raise NotFound(
            f"there is no node {unknown[0]} in {origin}", hint=f"it has: {', '.join(list(nodes)[:20])}"
        )
    return [
        RemoteNode(NodeName(node.name), {kind: addresses[0] for kind, addresses in node.addresses.items()})
        for node in nodes.values()
        if (not wanted or node.name in wanted) and node.name not in exclude
    ]


def _read_lists(api: ClusterApi, reading: Reading, plan: Plan, scope: _Scope) -> None:
    """The lists of the plan; for keeping the server's version too, and one that fails is a record."""
    waiting: dict[str, str] = dict.fromkeys(plan.kinds, INTERRUPTED)
    if plan.for_keeping:
        waiting["version"] = INTERRUPTED
    reading.failed_lists = waiting  # at an interrupt, those that are left
    if plan.for_keeping:
        try:
            reading.api["version.json"] = api.version()
            del waiting["version"]
        except ApiError as error:
            waiting["version"] = str(error)
    for kind in plan.kinds:
        try:
            if kind != "endpoints" or _needs_endpoints(reading):
                reading.api[f"{kind}.json"] = _list(api, kind, scope)
            del waiting[kind]
        except ApiError as error:
            needless = kind in plan.optional and isinstance(error, NotAllowed)
            if not plan.for_keeping and not needless:
                raise
            waiting[kind] = str(error)
        if kind == "services" and "services.json" in reading.api:
            _find_services(api, reading, scope)


def _list(api: ClusterApi, kind: ApiKind, scope: _Scope) -> bytes:
    """One list, within the scope as far as that concerns the kind. Raises ApiError."""
    if kind == "namespaces":
        return api.list(kind, name=scope.namespace)
    if scope.service is None:
        return api.list(kind, namespace=scope.namespace)
    if kind == "pods":  # any pod of the cluster may be the sender
        return api.list(kind)
    if kind == "endpointslices":
        label = f"{SERVICE_LABEL}={scope.service}"
        return api.list(kind, namespace=scope.namespace, label_selector=label)
    return api.list(kind, namespace=scope.namespace, name=scope.service)


def _needs_endpoints(reading: Reading) -> bool:
    """Whether there are no EndpointSlices, so that Endpoints say what there is."""
    return "endpointslices.json" in reading.api and not Cluster(reading.api, "").has_slices()


def _find_services(api: ClusterApi, reading: Reading, scope: _Scope) -> None:
    """Raise NotFound for a service that was asked for and is not there, with the names that are near."""
    if scope.service is not None and not Cluster(reading.api, "").service_names():
        reading.api["services.json"] = api.list("services")
    cluster = Cluster(reading.api, reading.origin)
    for key in reading.services:
        cluster.service(*key)


def _shell(reach: NodeOptions, plan: Plan, api: kube.KubeApi) -> NodeShell:
    return open_shell(replace(reach, connections=plan.connections), api)


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


def _compare(api: ClusterApi, reading: Reading, scope: _Scope) -> None:
    """Find the services whose endpoints changed while nodes were read: rules may be of before or after."""
    kind = reading.endpoints
    if f"{kind}.json" not in reading.api:
        return
    try:
        after = _list(api, kind, scope)
    except ApiError as error:
        reading.failed_lists[f"{kind}, read again"] = str(error)
        return
    reading.changed = differing(reading.api[f"{kind}.json"], after, kind)
