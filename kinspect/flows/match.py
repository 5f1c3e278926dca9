"""Entries of nodes' tables to connections: each once, with its service, its way in, its endpoint.

Up to three nodes hold entries of one connection, and two of them may rewrite it::

    client's node   10.42.1.9:5000 -> node2:31000, perhaps masqueraded     the first leg
    entry node      …:5000 -> node2:31000, to 10.42.3.7:8080               the one that counts
    pod's node      node2:61234 -> 10.42.3.7:8080                          a later leg

The entry node's is the only one that was translated to an endpoint (DNAT). A leg belongs to it if
the packets that leave one node are those that the other saw: the reply's five-tuple turned round is
the other's own five-tuple. A first leg tells who the client really is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from kinspect.flows.frontends import Frontend, Frontends, Place
from kinspect.flows.idle import idle_seconds
from kinspect.model.cluster import EndpointOwner
from kinspect.model.flows import Flow, ServiceKey, Stale, Tracked

FiveTuple: TypeAlias = tuple[str, str, "int | None", str, "int | None"]
"""Protocol, source and its port, destination and its port."""

_HOPS: Final = 4  # nodes that translate one connection one after the other, before we give up


@dataclass(frozen=True, slots=True)
class Owned:
    """What stands at an address. ``placed``: it is known on which node, or that it is on none."""

    owner: EndpointOwner
    placed: bool = True


class Cluster(Protocol):
    """What is asked of the cluster, with addresses as text."""

    def is_local(self, node: str, address: str) -> bool | None:
        """Whether a node has the address; None if it is not known."""
        ...

    def owner(self, address: str, port: int | None, service: ServiceKey | None) -> Owned:
        """What stands at an address; ``service`` is the one that sent there."""
        ...

    def endpoint_of(self, service: ServiceKey, place: Place) -> bool | None:
        """Whether the API lists that endpoint for the service; None if it was not read."""
        ...

    def sysctl(self, node: str, key: str) -> str | None:
        """A kernel setting of a node."""
        ...


@dataclass(slots=True)
class Interest:
    """What is kept of a table: what may be a connection to a service, or a leg of one.

    ``endpoints`` are those of all services, ``nodes`` the addresses of nodes. ``also`` says of
    other destinations whether connections straight to them are wanted.
    """

    frontends: Frontends
    endpoints: frozenset[Place]
    nodes: frozenset[str]
    also: Callable[[str], bool] | None = None
    _known: dict[str, bool] = field(default_factory=dict)

    def keep(
        self, protocol: str, dst: str, dport: int | None, reply_src: str, reply_sport: int | None
    ) -> bool:
        """Whether an entry is kept (``parse.node.conntrack.Keep``)."""
        if dport is None:
            return False
        if reply_src != dst or reply_sport != dport:
            return True
        if self.frontends.at(protocol, dst, dport) is not None or (protocol, dst, dport) in self.endpoints:
            return True
        if dst in self.nodes and self.frontends.node_port(protocol, dport) is not None:
            return True
        if self.also is None:
            return False
        known = self._known.get(dst)
        if known is None:
            known = self._known[dst] = self.also(dst)
        return known


def flows(
    tables: Mapping[str, Sequence[Tracked]],
    frontends: Frontends,
    cluster: Cluster,
    whole: Collection[str] = (),
) -> Iterator[Flow]:
    """The connections of all nodes' entries, each once, in the order of nodes and entries.

    ``whole`` are the nodes whose tables were read to the end: what they do not have, they do not track.

    Those that no node translated come last: they go to an endpoint's own address, or to a service
    whose rules did not take them.
    """
    matcher = _Matcher(frontends, cluster, whole)
    plain = matcher.sort(tables)
    yield from matcher.translated()
    yield from matcher.others(plain)


@dataclass(slots=True)
class _Matcher:
    frontends: Frontends
    cluster: Cluster
    whole: Collection[str] = ()
    # Translated entries by the five-tuple that the node saw, and those that left it.
    _translated: dict[FiveTuple, tuple[str, Tracked]] = field(default_factory=dict)
    _left: set[FiveTuple] = field(default_factory=set)
    _plain: dict[str, set[FiveTuple]] = field(default_factory=dict)  # what left nodes untranslated
    _clients: dict[FiveTuple, tuple[str, int | None]] = field(default_factory=dict)

    def sort(self, tables: Mapping[str, Sequence[Tracked]]) -> list[tuple[str, Tracked]]:
        """Take up the translated entries; gives the others that are no legs of them."""
        for node, entries in tables.items():
            for entry in entries:
                if entry.translated:
                    key = _seen(entry)
                    known = self._translated.get(key)
                    if known is None or _fresher(entry, known[1]):
                        self._translated[key] = (node, entry)
        self._left = {_left(entry) for _, entry in self._translated.values()}
        rest = []
        for node, entries in tables.items():
            self._plain[node] = {_left(entry) for entry in entries if not entry.translated}
            for entry in entries:
                if entry.translated:
                    continue
                leaves = _left(entry)
                if leaves in self._translated:
                    self._clients[leaves] = (entry.src, entry.sport)
                elif _seen(entry) not in self._left:
                    rest.append((node, entry))
        return rest

    def translated(self) -> Iterator[Flow]:
        """The connections that a node sends to an endpoint."""
        for key, (node, entry) in self._translated.items():
            if key not in self._left:  # else another node's, translated twice
                yield self._flow(node, entry, self._frontend(node, entry))

    def others(self, plain: Iterable[tuple[str, Tracked]]) -> Iterator[Flow]:
        """What no node translated: two nodes may hold the same of it."""
        seen: dict[FiveTuple, tuple[str, Tracked]] = {}
        plain = list(plain)
        masqueraded = {_left(entry) for _, entry in plain if _left(entry) != _seen(entry)}
        for node, entry in plain:
            if _seen(entry) in masqueraded or self._left_over(node, entry):
                continue
            frontend = self.frontends.at(entry.protocol, entry.dst, entry.dport)
            if frontend is None and self.cluster.is_local(node, entry.dst):
                frontend = self.frontends.node_port(entry.protocol, entry.dport)
            if frontend is not None:
                yield self._flow(node, entry, frontend)
                continue
            key = _seen(entry)
            known = seen.get(key)
            # Of a pod's connection to a pod both nodes tell: it came in at the client's.
            if known is None or self._is_client(node, entry):
                seen[key] = (node, entry)
        for node, entry in seen.values():
            yield self._flow(node, entry, None)

    def _left_over(self, node: str, entry: Tracked) -> bool:
        """Whether the sender's node holds nothing any more that this could be a leg of.

        A UDP flow that was sent to another endpoint leaves such an entry at the node of the old one,
        until it expires. Of TCP nothing is taken for over that one node still holds.
        """
        sender = self.cluster.owner(entry.src, None, None).owner.node
        if entry.state is not None or sender is None or sender == node or sender not in self.whole:
            return False
        return _seen(entry) not in self._plain.get(sender, ())

    def _is_client(self, node: str, entry: Tracked) -> bool:
        return self.cluster.owner(entry.src, None, None).owner.node == node

    def _frontend(self, node: str, entry: Tracked) -> Frontend | None:
        found = self.frontends.at(entry.protocol, entry.dst, entry.dport)
        if found is not None or self.cluster.is_local(node, entry.dst) is False:
            return found
        return self.frontends.node_port(entry.protocol, entry.dport)

    def _flow(self, node: str, entry: Tracked, frontend: Frontend | None) -> Flow:
        src, sport = self._clients.get(_seen(entry), (entry.src, entry.sport))
        last = self._last(entry)
        service = frontend.service if frontend is not None else None
        owned = self.cluster.owner(last.reply_src, last.reply_sport, service)
        return Flow(
            node=node,
            protocol=entry.protocol,
            src=src,
            sport=sport,
            dst=entry.dst,
            dport=entry.dport,
            to=_place_text(last.reply_src, last.reply_sport),
            to_address=last.reply_src,
            to_port=last.reply_sport,
            snat=last.reply_dst if last.reply_dst != src else None,
            state=entry.state,
            assured=entry.assured,
            replied=entry.replied,
            offloaded=entry.offloaded,
            timeout=entry.timeout,
            idle=idle_seconds(entry, lambda key: self.cluster.sysctl(node, key)),
            packets=entry.packets,
            bytes=entry.bytes,
            service=service,
            port=frontend.port if frontend is not None else None,
            via=frontend.via if frontend is not None else None,
            endpoint=owned.owner,
            placed=owned.placed,
            client=self.cluster.owner(src, None, None).owner,
            stale=self._stale(entry, last, service),
            translated=entry.translated,
        )

    def _last(self, entry: Tracked) -> Tracked:
        """The entry of the last node that rewrote the destination: almost always the same one."""
        for _ in range(_HOPS):
            further = self._translated.get(_left(entry))
            if further is None:
                break
            entry = further[1]
        return entry

    def _stale(self, entry: Tracked, last: Tracked, service: ServiceKey | None) -> Stale | None:
        if service is None:
            return None
        if not entry.translated:
            return None if entry.replied else "untranslated"
        place = (last.protocol, last.reply_src, last.reply_sport)
        return "endpoint-gone" if self.cluster.endpoint_of(service, place) is False else None


def _seen(entry: Tracked) -> FiveTuple:
    """What the node saw first."""
    return entry.protocol, entry.src, entry.sport, entry.dst, entry.dport


def _left(entry: Tracked) -> FiveTuple:
    """What left the node: whom replies come from is where it went."""
    return entry.protocol, entry.reply_dst, entry.reply_dport, entry.reply_src, entry.reply_sport


def _fresher(entry: Tracked, known: Tracked) -> bool:
    """Whether of two entries of one five-tuple this is the one in use: a client came by another node."""
    if entry.closing != known.closing:
        return known.closing
    return (entry.replied, entry.timeout or 0) > (known.replied, known.timeout or 0)


def _place_text(address: str, port: int | None) -> str:
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
