"""The connections that exist, as the nodes' own tables hold them: for ``flows``, ``check`` and ``audit``.

What is not known is kept beside what is: a node without a table, one that was cut, a line that
cannot be read. Whoever asserts something decides what that means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from kinspect.checks.common import Location
from kinspect.flows.frontends import Frontends, Place
from kinspect.flows.match import Interest, Owned, flows
from kinspect.model.check import Avoided
from kinspect.model.cluster import Endpoint, EndpointOwner, Service
from kinspect.model.diagnostics import Diagnostics, Undetermined, together
from kinspect.model.flows import Flow, ServiceKey, Table, Tracked
from kinspect.model.host import Host
from kinspect.model.packet import PROTOCOLS, Address, Family, Packet, read_address
from kinspect.model.rules import Verdict
from kinspect.parse.node.conntrack import Keep, read_connections
from kinspect.pipeline.gather.read import Facts, selected
from kinspect.pipeline.traffic.locations import Locator
from kinspect.pipeline.traffic.probes import Probe, came_in
from kinspect.pipeline.traffic.tracer import Tracer
from kinspect.snapshot import types as names
from kinspect.snapshot.manifest import Command
from kinspect.snapshot.types import Fetched, Files, NodeName, Snapshot

_CUT_BY: Final = re.compile(r"first_lines (\d+) ")  # how earlier versions limited what they captured
_REFUSED: Final = re.compile(r"not permitted|permission denied|must be root|password is required", re.I)
_NOT_ALL: Final = (5, 4, 200)  # a node counts more than 5/4 of what was read, and 200: it was cut


@dataclass(slots=True)
class Connections:
    """What the nodes' tables hold of services.

    ``unknown``: by node, why its connections, or some of them, are not known. ``damage``: by node,
    lines that could not be read.
    """

    flows: list[Flow] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)  # those whose tables were read
    unknown: dict[str, str] = field(default_factory=dict)
    damage: dict[str, str] = field(default_factory=dict)

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """The nodes whose connections are not known."""
        return tuple(
            Undetermined(text=f"{node}: {why}", code="connections-unknown", node=node)
            for node, why in self.unknown.items()
        )


def read_tables(
    facts: Facts,
    snapshot: Snapshot,
    nodes: Sequence[str] = (),
    *,
    families: Sequence[Family] = (4, 6),
    services: Iterable[Service] | None = None,
    also: Callable[[Address], bool] | None = None,
) -> Connections:
    """The connections of all nodes asked for, each once.

    ``services`` are those that are asked about, None for all: if none of them has IPv6, its connections
    need not be known. ``also`` says to which other addresses connections are wanted, though they go
    through no service.
    """
    found = Connections()
    seen = _Seen(facts)
    interest = Interest(seen.frontends, seen.places, seen.node_addresses, _by_text(also))
    asked = facts.cluster.services() if services is None else services
    dual = 6 in families and any(6 in service.families for service in asked)
    tables: dict[str, Sequence[Tracked]] = {}
    for name, files in selected(snapshot, nodes).items():
        table = _table(name, files, interest.keep)
        why = _unknown(snapshot, facts, name, files, table)
        if why is None and dual and names.CONNTRACK6 not in files and _only_ipv4(files[names.CONNTRACK]):
            why = "its IPv6 connections were not recorded (conntrack -L -f ipv6)"
        if why is not None:
            found.unknown[name] = why
        if table is None:
            continue
        found.nodes.append(name)
        if table.damaged:
            found.damage[name] = f"{table.first_damage}" + (
                f" ({table.damaged:,} lines in all cannot be read)" if table.damaged > 1 else ""
            )
        tables[name] = [entry for entry in table.entries if _family(entry.dst) in families]
    whole = frozenset(tables) - frozenset(found.unknown)
    found.flows = list(flows(tables, seen.frontends, seen, whole))
    return found


def straight(ends: Avoided, facts: Facts) -> Callable[[Address], bool]:
    """Whether connections straight to an address are wanted: to a pod on one of the nodes, or the address.

    Of a node's own addresses only services' endpoints are: kubelet and sshd are no services.
    """
    locator = Locator(facts.cluster, facts.states)

    def wanted(address: Address) -> bool:
        if address in ends.addresses:
            return True
        return not facts.cluster.node_address(address) and locator.at(address, None).node in ends.nodes

    return wanted


def judged(found: Iterable[Flow], facts: Facts) -> tuple[list[Flow], Diagnostics]:
    """The same with ``not-by-rules`` where it holds, and for which that cannot be told."""
    rules = _Rules(facts)
    flows = [
        msgspec.structs.replace(flow, stale="not-by-rules")
        if flow.stale is None and flow.translated and rules.allow(flow) is False
        else flow
        for flow in found
    ]
    return flows, together(rules.diagnostics)


def _family(address: str) -> Family:
    return 6 if ":" in address else 4


def _by_text(also: Callable[[Address], bool] | None) -> Callable[[str], bool] | None:
    return None if also is None else lambda text: also(read_address(text))


def _table(name: str, files: Files, keep: Keep) -> Table | None:
    """A node's table, of both families; None where nothing of it was recorded."""
    recorded = [file for file in (names.CONNTRACK, names.CONNTRACK6) if file in files]
    if not recorded:
        return None
    parts = [read_connections([files[file]], f"{name}/{file}", keep) for file in recorded]
    return Table(
        entries=tuple(entry for part in parts for entry in part.entries),
        total=sum(part.total for part in parts),
        cut=any(part.cut for part in parts),
        damaged=sum(part.damaged for part in parts),
        first_damage=next((part.first_damage for part in parts if part.damaged), None),
    )


def _unknown(
    snapshot: Snapshot, facts: Facts, name: NodeName, files: Files, table: Table | None
) -> str | None:
    """Why a node's connections are not known, or not all of them."""
    commands = [c for c in _commands(snapshot, name, files) if c.file.startswith("conntrack")]
    for command in commands:
        # Earlier versions looked at the status of the end of a pipe: what was refused looked empty.
        if command.status != 0 or (_REFUSED.search(command.stderr) and not (table and table.total)):
            return _failed(command)
    if table is None:
        if _commands(snapshot, name, files):
            return "its connections were not read: there is no conntrack on it (package conntrack)"
        return f"{snapshot.origin} does not have its connections (conntrack.txt)"
    if table.damaged and not table.total:
        return f"its connections cannot be read: {table.first_damage}"
    limits = [int(found[1]) for c in commands if (found := _CUT_BY.match(c.command))]
    if table.cut or any(table.total >= limit for limit in limits):
        return (
            f"its connection tracking table was cut: {table.total:,} entries were recorded, there were more"
        )
    counted = _count(facts, name)
    times, of, more = _NOT_ALL
    if counted is not None and counted > table.total * times // of + more:
        return (
            f"its connection tracking table was cut: {table.total:,} entries were recorded, and it counted"
            f" {counted:,}"
        )
    return None


def _failed(command: Command) -> str:
    heard = command.stderr.splitlines()[-1] if command.stderr else f"exit status {command.status}"
    if _REFUSED.search(command.stderr):
        return f"its connections may not be read: {heard} (--sudo, or --ssh-user root)"
    return f"its connections could not be read: {heard}"


def _commands(snapshot: Snapshot, name: NodeName, files: Files) -> Sequence[Command]:
    """What ran on a node, as far as it is known."""
    if isinstance(files, Fetched):
        return files.ran
    record = snapshot.manifest.nodes.get(name) if snapshot.manifest else None
    return record.commands if record else ()


def _count(facts: Facts, name: str) -> int | None:
    state = facts.states.get(name)
    text = state.host.sysctl("net.netfilter.nf_conntrack_count") if state else None
    return int(text) if text is not None and text.isdigit() else None


def _only_ipv4(text: bytes) -> bool:
    """Whether a table has no entry of IPv6: older tools list one family at a time."""
    return re.search(rb"\bsrc=[0-9a-f]*:", text) is None


class _Seen:
    """The cluster, as the matching asks about it: each address is looked up once."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._cluster = facts.cluster
        self._locator = Locator(facts.cluster, facts.states)
        self._listed = facts.cluster.has("endpointslices") or facts.cluster.has("endpoints")
        self._owners: dict[tuple[str, int | None, ServiceKey | None], Owned] = {}
        self._nobody: dict[Location, Owned] = {}
        self._local: dict[tuple[str, str], bool | None] = {}
        services = list(facts.cluster.services())
        self.frontends = Frontends(services)
        self._places: dict[ServiceKey, frozenset[Place]] = {
            service.key: frozenset(
                (e.protocol.lower(), str(e.address), e.port) for e in facts.cluster.endpoints(service.key)
            )
            for service in services
        }
        self.places = frozenset(place for places in self._places.values() for place in places)
        self._endpoint_at: dict[tuple[Address, int | None], Endpoint] = {
            (e.address, e.port): e for service in services for e in facts.cluster.endpoints(service.key)
        }
        self.node_addresses = frozenset(
            address
            for node in facts.cluster.nodes.values()
            for of_type in node.addresses.values()
            for address in of_type
        ) | frozenset(
            str(address) for state in facts.states.values() for address in state.host.addresses or ()
        )

    def is_local(self, node: str, address: str) -> bool | None:
        """Whether a node has the address; None if it is not known."""
        key = (node, address)
        if key not in self._local:
            self._local[key] = self._is_local(node, address)
        return self._local[key]

    def _is_local(self, node: str, address: str) -> bool | None:
        state = self._facts.states.get(node)
        if state is not None:
            return state.host.is_local(read_address(address))
        owner = self._cluster.node_of(read_address(address))
        return None if owner is None else owner == node

    def owner(self, address: str, port: int | None, service: ServiceKey | None) -> Owned:
        """What stands at an address; ``service`` is the one that sent there."""
        key = (address, port, service)
        known = self._owners.get(key)
        if known is None:
            known = self._owners[key] = self._owner(read_address(address), port, service)
        return known

    def _owner(self, address: Address, port: int | None, service: ServiceKey | None) -> Owned:
        endpoints: Sequence[Endpoint] = ()
        if service is not None:
            endpoints = self._cluster.endpoints(service)
        elif (address, port) in self._endpoint_at:
            endpoints = (self._endpoint_at[address, port],)
        endpoint = next((e for e in endpoints if e.address == address and port in (None, e.port)), None)
        location = self._locator.at(address, endpoint)
        if endpoint is None and self._cluster.pod_at(address) is None:
            # Clients outside are many, and alike: one object for all of them.
            return self._nobody.setdefault(location, Owned(EndpointOwner(node=location.node), location.known))
        found = self._cluster.backend(address, port, endpoints)
        owner = EndpointOwner(found.namespace, found.pod, location.node, found.listed, found.terminating)
        return Owned(owner, location.known)

    def endpoint_of(self, service: ServiceKey, place: Place) -> bool | None:
        """Whether the API lists that endpoint for the service; None if it was not read."""
        return place in self._places.get(service, ()) if self._listed else None

    def sysctl(self, node: str, key: str) -> str | None:
        """A kernel setting of a node."""
        state = self._facts.states.get(node)
        return state.host.sysctl(key) if state is not None else None


class _Rules:
    """Whether a node's rules of today send a connection where it goes. Each kind is followed once."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._tracer = Tracer(facts.cluster, facts.states, one_of_many=True)
        self.diagnostics: list[Diagnostics] = []
        self._followed: dict[object, tuple[frozenset[str], bool] | None] = {}
        self._services = {service.key: service for service in facts.cluster.services()}
        self._interfaces: dict[tuple[str, str], str | None] = {}

    def allow(self, flow: Flow) -> bool | None:
        """None where it cannot be told."""
        state = self._facts.states.get(flow.node)
        number = PROTOCOLS.get(flow.protocol)
        if state is None or number is None:
            return None
        src = read_address(flow.src)
        local = state.host.is_local(src) is True
        iif = None if local else self._interface(flow.node, flow.src)
        service = self._services.get(flow.service) if flow.service is not None else None
        # What kube-proxy's rules ask of a sender: is it the node itself, one of the pods, in a source range.
        sender = flow.src if service is None or service.source_ranges else (local, iif, flow.client.node)
        key = (flow.node, flow.protocol, flow.dst, flow.dport, sender)
        if key not in self._followed:
            packet = Packet(
                src=src,
                dst=read_address(flow.dst),
                protocol=number,
                sport=flow.sport,
                dport=flow.dport,
                iif=iif,
                local=local,
            )
            self._followed[key] = self._follow(flow, packet)
        followed = self._followed[key]
        if followed is None:
            return None
        ends, sure = followed
        return True if flow.to in ends else False if sure else None

    def _interface(self, node: str, src: str) -> str | None:
        key = (node, src)
        if key not in self._interfaces:
            self._interfaces[key] = came_in(read_address(src), self._facts.states[node])
        return self._interfaces[key]

    def _follow(self, flow: Flow, packet: Packet) -> tuple[frozenset[str], bool] | None:
        """Where the rules may send it, and whether that is all that may become of it."""
        endpoints = self._facts.cluster.endpoints(flow.service) if flow.service is not None else ()
        probe = Probe(flow.node, flow.via or "packet", packet, flow.src, flow.port)
        trace, diagnostics = self._tracer.follow(probe, endpoints, among_many=True)
        if trace is None:
            self.diagnostics.append(diagnostics)
            return None
        possible = [outcome for outcome in trace.outcomes if outcome.bounds[1] > 0]
        ends = frozenset(outcome.to for outcome in possible if outcome.to is not None)
        open_end = any(
            outcome.verdict is Verdict.QUEUE
            or (outcome.verdict is not Verdict.ACCEPT and outcome.weight.exact is None)
            for outcome in possible
        )
        return ends, not open_end


def tables_of(hosts: Mapping[str, Host]) -> dict[str, tuple[int, int]]:
    """How many connections nodes track and how many they can: those whose settings were read."""
    found = {}
    for name, host in hosts.items():
        count, most = (host.sysctl(f"net.netfilter.nf_conntrack_{what}") for what in ("count", "max"))
        if count is not None and most is not None and count.isdigit() and most.isdigit():
            found[name] = (int(count), int(most))
    return found
