"""A snapshot to its contents: the cluster, the state of each node, and what could not be read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kinspect.errors import CallError, KinspectError
from kinspect.model.diagnostics import Diagnostics, Undetermined
from kinspect.model.node import NodeState
from kinspect.model.packet import Address
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.node.state import read_node
from kinspect.snapshot.types import Files, NodeName, Snapshot


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of a cluster, and what could not be."""

    cluster: Cluster
    states: Mapping[str, NodeState]
    diagnostics: Diagnostics


def read_facts(
    snapshot: Snapshot,
    nodes: Sequence[str] = (),
    *,
    local: Sequence[Address] = (),
    table: str | None = None,
    chain: str | None = None,
) -> Facts:
    """The requested nodes, or all; one that cannot be read does not stop the others.

    ``local`` are addresses of the hosts that the snapshot does not have, ``table`` names that of a
    fragment. Raises KinspectError if no node could be read.
    """
    cluster, diagnostics = read_api(snapshot, nodes)
    states: dict[str, NodeState] = {}
    failures: list[KinspectError] = []
    for name in selected(snapshot, nodes):
        try:
            states[name] = node_state(snapshot, cluster, name, local=local, table=table, chain=chain)
        except KinspectError as error:
            failures.append(error)
    diagnostics += unreadable(failures)
    some_nodes(snapshot, states, diagnostics, failures)
    return Facts(cluster, states, diagnostics)


def read_api(snapshot: Snapshot, nodes: Sequence[str] = ()) -> tuple[Cluster, Diagnostics]:
    """The facts before any node is read: the cluster, and what could not be read."""
    failed = [
        Undetermined(text=f"{name}: {why}", node=name)
        for name, why in snapshot.failed.items()
        if not nodes or name in nodes
    ]
    lacking = [Undetermined(text=text) for text in snapshot.lacking]
    return Cluster(snapshot.api, snapshot.origin), Diagnostics((*failed, *lacking), tuple(snapshot.remarks))


def node_state(
    snapshot: Snapshot,
    cluster: Cluster,
    name: NodeName,
    *,
    local: Sequence[Address] = (),
    table: str | None = None,
    chain: str | None = None,
) -> NodeState:
    """One node, read. Raises KinspectError."""
    node = cluster.nodes.get(name)
    known = [a for of in (node.addresses.values() if node else ()) for a in of]
    known += [str(address) for address in local]
    return read_node(name, snapshot.nodes[name], known, table=table, chain=chain, paths=snapshot.paths)


def unreadable(failures: Sequence[KinspectError]) -> Diagnostics:
    """Nodes whose files cannot be read, with the reasons."""
    return Diagnostics(tuple(Undetermined(text=str(error)) for error in failures))


def some_nodes(
    snapshot: Snapshot, read: Collection[str], diagnostics: Diagnostics, failures: Sequence[KinspectError]
) -> None:
    """Raise if no node could be read and no reason has been given."""
    if read:
        return
    if failures:
        raise failures[0]
    if not diagnostics.undetermined:
        raise CallError(f"{snapshot.origin} has no nodes", hint="give a snapshot with nodes/, or --rules")


def not_read(cluster: Cluster, snapshot: Snapshot, nodes: Sequence[str]) -> Diagnostics:
    """Data that an assertion about everything needs and the snapshot lacks, apart from failed nodes."""
    known = {*snapshot.nodes, *snapshot.failed}
    found = [
        Undetermined(
            text=f"{name}: none of its rules were read (--node narrows to those that were)", node=name
        )
        for name in cluster.nodes
        if name not in known and (not nodes or name in nodes)
    ]
    if not cluster.has("endpointslices") and not cluster.has("endpoints"):
        text = "there is no api/endpointslices.json: which endpoints services have is not known"
        found.append(Undetermined(text=text))
    return Diagnostics(tuple(found))


def selected(snapshot: Snapshot, wanted: Sequence[str]) -> Mapping[NodeName, Files]:
    """The requested nodes of the snapshot. Raises CallError."""
    if not wanted:
        return snapshot.nodes
    unknown = [name for name in wanted if name not in snapshot.nodes and name not in snapshot.failed]
    if unknown:
        have = ", ".join(sorted({*snapshot.nodes, *snapshot.failed})[:20]) or "none"
        raise CallError(f"there is no node {unknown[0]} in {snapshot.origin}", hint=f"it has: {have}")
    return {name: files for name, files in snapshot.nodes.items() if name in wanted}
