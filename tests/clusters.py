"""The recorded clusters in tests/data, and what tests ask of them again and again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from kinspect.evaluate.path import evaluate
from kinspect.model.node import NodeState
from kinspect.model.packet import PROTOCOLS, TCP, Packet, TcpFlag
from kinspect.model.trace import Evaluation
from kinspect.model.traffic import Traffic
from kinspect.parse.api.cluster import Cluster
from kinspect.parse.node.state import read_node
from kinspect.pipeline.gather.read import Facts
from kinspect.pipeline.traffic.survey import Survey
from kinspect.pipeline.traffic.tracer import Tracer
from kinspect.snapshot.store import open_snapshot

DATA = Path(__file__).parent / "data"


@cache
def node(cluster: str, name: str) -> NodeState:
    """A node of a recorded cluster."""
    snapshot = open_snapshot(DATA / cluster)
    return next(read_node(n, files) for n, files in snapshot.nodes.items() if n == name)


@cache
def api(cluster: str) -> Cluster:
    """The API of a recorded cluster."""
    snapshot = open_snapshot(DATA / cluster)
    return Cluster(snapshot.api, snapshot.origin)


def packet(src: str, dst: str, dport: int, protocol: str = "tcp", **fields: Any) -> Packet:
    """A packet that opens a connection."""
    number = PROTOCOLS[protocol.lower()]
    made = Packet(
        src=ip_address(src),
        dst=ip_address(dst),
        protocol=number,
        sport=40000,
        dport=dport,
        tcp_flags=TcpFlag.SYN if number == TCP else None,
    )
    return made.replace(**fields) if fields else made


def walked(cluster: str, at: str, probe: Packet) -> Evaluation:
    """What becomes of a packet at a node."""
    state = node(cluster, at)
    return evaluate(probe, state.host, state.rulesets[probe.family])


def all_traffic(facts: Facts) -> Iterator[Traffic]:
    """All traffic to all services of what was read."""
    survey = Survey(Tracer(facts.cluster, facts.states))
    for service in facts.cluster.services():
        traffic, _ = survey.of(service)
        yield from traffic
