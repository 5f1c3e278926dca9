"""Connections that exist, and go where none should; and tables that can hold no more.

Rules decide about new connections only. What is found here is of the nodes' connection tracking, and so
of a snapshot that has it; how full a table is is told by two settings of the node, which are always read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

from kinspect.flows.chance import chance
from kinspect.flows.summary import summary
from kinspect.model.audit import Fact, FindingKind, Observation, Severity
from kinspect.model.cluster import Endpoint, Service
from kinspect.model.flows import Flow, FlowsRow
from kinspect.model.packet import endpoint_text

# Connections are those of a node: what was read of it beside its rules, and what the API lists.
_DEPENDS: Final[frozenset[Fact]] = frozenset({"node files", "rules", "endpoints"})

GONE: Final = FindingKind(
    code="KI401",
    title="connections to an endpoint that is gone",
    severity=Severity.WARNING,
    depends=_DEPENDS,
    means="Connections still go to an address that the API does not list for the service any more. No rule sends"
    " there, but rules are asked for new connections only, and kube-proxy never ends TCP.",
    todo="If the pod lives, let it close them; if it is gone, clients wait for their own timeouts: shorten those, or"
    " end the entries with conntrack -D --reply-src ADDRESS on the nodes named.",
    look=("kinspect flows --stale", "conntrack -L --reply-src ADDRESS"),
    settles=True,
)
PINNED: Final = FindingKind(
    code="KI402",
    title="UDP flows pinned to nowhere",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="UDP flows go to an endpoint that is gone, or to a service's address that no rule rewrote, and each packet"
    " keeps the entry alive: a client that uses one port, such as a DNS resolver, gets no answer for as long as it"
    " asks. kube-proxy deletes such entries if it runs and can.",
    todo="See whether kube-proxy runs on the nodes named and what its log says of conntrack. conntrack -D -p udp"
    " --orig-dst ADDRESS there ends it at once.",
    look=("kinspect flows --stale", "conntrack -L -p udp --orig-dst ADDRESS"),
    settles=True,
)
DRAINED: Final = FindingKind(
    code="KI403",
    title="connections to a drained node",
    severity=Severity.WARNING,
    depends=_DEPENDS,
    means="A node is cordoned or about to go, and connections still end at its pods: switching it off cuts them.",
    todo="Wait until they end (kinspect check drained --established --wait 10m), or move the pods.",
    look=("kinspect flows --to drained",),
)
FULL: Final = FindingKind(
    code="KI404",
    title="connection tracking table nearly full",
    severity=Severity.ERROR,
    depends=_DEPENDS,
    means="A node tracks almost as many connections as it can. When the table is full, packets of new connections"
    " are dropped, of all services and of the node itself (nf_conntrack: table full, dropping packet).",
    todo="Raise net.netfilter.nf_conntrack_max (kube-proxy's --conntrack-max-per-core), and find who opens so many:"
    " kinspect flows lists those of services.",
    look=("sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max",),
)
UNEVEN: Final = FindingKind(
    code="KI405",
    title="uneven load, even rules",
    severity=Severity.INFO,
    depends=_DEPENDS,
    means="An endpoint has far more, or far fewer, connections than its share of new ones, and chance does not explain"
    " it. The rules decide once for each connection: clients that keep theirs open (gRPC, HTTP keep-alive, database"
    " pools) stay where they are, so endpoints that came later have few.",
    todo="The rules are as they should be. Let clients or servers close connections now and then (a maximum age), or"
    " balance requests, not connections (headless service with client-side balancing, a proxy).",
    look=("kinspect flows svc/SERVICE -n NAMESPACE", "kinspect trace svc/SERVICE -n NAMESPACE"),
)
KINDS: Final = (GONE, PINNED, DRAINED, FULL, UNEVEN)

_UNLIKELY: Final = 1e-6  # a chance below this is none, over all endpoints of a service port
_NEARLY: Final = 9, 10  # of what it can hold


def full(tables: Mapping[str, tuple[int, int]]) -> Iterator[Observation]:
    """Nodes whose tables are nearly full: how many they track, and can."""
    part, whole = _NEARLY
    for node, (count, most) in tables.items():
        if most and count * whole >= most * part:
            text = f"{count:,} of {most:,} connections ({count * 100 // most} %)"
            yield Observation(kind=FULL, text=text, nodes=(node,))


def existing(flows: Iterable[Flow], drained: Collection[str]) -> Iterator[Observation]:
    """What is wrong with connections that exist; those that are closing are none."""
    counted = [flow for flow in flows if not flow.closing]
    for row in summary(flow for flow in counted if flow.stale in ("endpoint-gone", "untranslated")):
        pinned = row.protocol == "udp"
        yield _seen(PINNED if pinned else GONE, row, _why(row))
    for row in summary(flow for flow in counted if flow.endpoint.node in drained and flow.stale is None):
        if row.service is not None:
            yield _seen(DRAINED, row, f"end on {row.endpoint.node}")


def uneven(flows: Iterable[Flow], service: Service, endpoints: Sequence[Endpoint]) -> Iterator[Observation]:
    """Endpoints whose connections are not what equal shares of new ones would come to.

    Only where all nodes give each endpoint the same share: policy Cluster, no affinity, no topology hints.
    """
    if (
        service.external_policy != "Cluster"
        or service.internal_policy != "Cluster"
        or service.affinity_seconds
    ):
        return
    held = Counter(
        (f.port, f.to_address, f.to_port) for f in flows if f.state == "ESTABLISHED" and f.stale is None
    )
    for port in service.ports:
        of_port = [
            e for e in endpoints if (e.port_name, e.protocol) == (port.name, port.protocol) and e.ready
        ]
        for version in (4, 6):
            ready = [e for e in of_port if e.address.version == version]
            if len(ready) > 1 and not any(e.for_nodes or e.for_zones for e in ready):
                counts = {e: held[port, str(e.address), e.port] for e in ready}
                yield from _unlikely(service, counts)


def _unlikely(service: Service, counts: Mapping[Endpoint, int]) -> Iterator[Observation]:
    drawn, fair = sum(counts.values()), Fraction(1, len(counts))
    for endpoint, number in counts.items():
        # With many endpoints one of them is far off sooner: the bar is shared among them.
        if chance(number, drawn, fair) < _UNLIKELY * fair:
            place = endpoint_text(endpoint.address, endpoint.port)
            text = f"{place} has {number:,} of {drawn:,} connections; its share of new ones is {fair}"
            yield Observation(kind=UNEVEN, text=text, nodes=(), service=service.key)


def _why(row: FlowsRow) -> str:
    """Which of the two it is; a row has one address, so one reason."""
    if row.stale[0][0] == "untranslated":
        return "that no rule rewrote, and nothing answers"
    return "which the API does not list any more"


def _seen(kind: FindingKind, row: FlowsRow, why: str) -> Observation:
    owner = row.endpoint
    pod = f", pod {owner.namespace}/{owner.pod}" if owner.pod else ""
    number = f"{row.connections:,} {row.protocol} connection{'' if row.connections == 1 else 's'}"
    return Observation(
        kind=kind,
        text=f"{number} to {row.to}{pod}, {why}",
        nodes=tuple(node for node, _ in row.entered),
        service=row.service,
    )
