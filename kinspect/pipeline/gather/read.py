"""A snapshot to what it says: the cluster, the state of each node, and what could not be read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from kinspect.errors import CallError, KinspectError
from kinspect.model.check import ServiceKey
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined, warned
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
    about: Callable[[ServiceKey], bool] = lambda _: True,
) -> Facts:
    """The nodes that are asked for, or all; one that cannot be read does not stop the others.

    ``local`` are addresses of the hosts that the snapshot does not have, ``table`` names that of a
    fragment. ``about``: which services are asked about. Raises KinspectError if no node could be read.
    """
    cluster, diagnostics = read_api(snapshot, nodes)
    diagnostics += changed_meanwhile(snapshot, about)
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
    """What is known before any node is read: the cluster, and what could not be read."""
    failed = [
        Undetermined(text=f"{name}: {why}", node=name)
        for name, why in snapshot.failed.items()
        if not nodes or name in nodes
    ]
    lacking = [Undetermined(text=text) for text in snapshot.lacking]
    return Cluster(snapshot.api, snapshot.origin), Diagnostics((*failed, *lacking), tuple(snapshot.remarks))


def changed_meanwhile(snapshot: Snapshot, about: Callable[[ServiceKey], bool]) -> Diagnostics:
    """One line for those of the services whose endpoints changed while nodes were read."""
    moved = ["/".join(key) for key in sorted(snapshot.moved) if about(key)]
    if not moved:
        return NONE
    if len(moved) == 1:
        return warned([f"service {moved[0]}: its endpoints changed while {snapshot.origin} was read"])
    shown = ", ".join(moved[:5])
    more = f" and {len(moved) - 5:,} more" if len(moved) > 5 else ""
    return warned([f"services {shown}{more}: their endpoints changed while {snapshot.origin} was read"])


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
    """What an assertion about everything needs and the snapshot does not have; failed nodes apart."""
    known = {*snapshot.nodes, *snapshot.failed, *snapshot.excluded}
    found = [
        Undetermined(
            text=f"{name}: none of its rules were read (--exclude-node {name} leaves it out)", node=name
        )
        for name in cluster.nodes
        if name not in known and (not nodes or name in nodes)
    ]
    if not cluster.has("endpointslices") and not cluster.has("endpoints"):
        text = "there is no api/endpointslices.json: which endpoints services have is not known"
        found.append(Undetermined(text=text))
    return Diagnostics(tuple(found))


def selected(snapshot: Snapshot, wanted: Sequence[str]) -> Mapping[NodeName, Files]:
    """The nodes asked for, of those that the snapshot has. Raises CallError."""
    if not wanted:
        return snapshot.nodes
    for name in wanted:
        if name in snapshot.excluded:
            raise CallError(f"node {name} is asked for, and excluded by --exclude-node")
    unknown = [name for name in wanted if name not in snapshot.nodes and name not in snapshot.failed]
    if unknown:
        have = ", ".join(sorted({*snapshot.nodes, *snapshot.failed})[:20]) or "none"
        raise CallError(f"there is no node {unknown[0]} in {snapshot.origin}", hint=f"it has: {have}")
    return {name: files for name, files in snapshot.nodes.items() if name in wanted}
