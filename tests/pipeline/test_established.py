"""An established packet goes where its connection goes; without the connection that is not known."""

from __future__ import annotations

import json
from ipaddress import ip_address
from pathlib import Path

import pytest

from kinspect.model.answer import NodeTrace
from kinspect.model.odds import ONE, ZERO
from kinspect.model.packet import CtState, Packet, TcpFlag
from kinspect.model.trace import CONNECTION
from kinspect.pipeline.gather.sources import Recorded
from kinspect.pipeline.trace import TraceRequest, trace

RULES = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 10.1.0.2/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.1.11:8080
-A POSTROUTING -o cni0 -j MASQUERADE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate ESTABLISHED -j DROP
-A FORWARD -m conntrack --ctstate ESTABLISHED,DNAT,SNAT -j ACCEPT
COMMIT
"""
CONNECTION_OF_IT = (
    "tcp      6 431999 ESTABLISHED src=203.0.113.1 dst=10.1.0.2 sport=40000 dport=80"
    " src=10.244.1.11 dst=10.244.1.1 sport=8080 dport=40000 [ASSURED] mark=0 use=1\n"
)
OTHER = CONNECTION_OF_IT.replace("40000", "40009")


def packet(src: str, sport: int, dst: str, dport: int) -> Packet:
    return Packet(
        src=ip_address(src), dst=ip_address(dst), protocol=6, sport=sport, dport=dport, tcp_flags=TcpFlag.ACK
    )


REPLY = packet("10.244.1.11", 8080, "10.244.1.1", 40000)
ORIGINAL = packet("203.0.113.1", 40000, "10.1.0.2", 80)


def traced(folder: Path, of: Packet, connections: str | None, rules: str = RULES) -> tuple[NodeTrace, bool]:
    """The trace of a packet at the node, and whether the answer is complete."""
    node = folder / "nodes" / "n"
    node.mkdir(parents=True)
    (node / "iptables-save.txt").write_text(rules)
    addresses = [{"ifname": "eth0", "addr_info": [{"local": "10.1.0.2", "prefixlen": 24}]},
                 {"ifname": "cni0", "addr_info": [{"local": "10.244.1.1", "prefixlen": 24}]}]  # fmt: skip
    (node / "ip-addr.json").write_text(json.dumps(addresses))
    if connections is not None:
        (node / "conntrack.txt").write_text(connections)
    request = TraceRequest(packet=of, state=CtState.ESTABLISHED, iif="cni0" if of is REPLY else "eth0")
    answer = trace(request, Recorded(folder))
    (found,) = answer.traces
    return found, answer.complete


@pytest.mark.parametrize("connections", [None, OTHER], ids=["no table", "not in the table"])
@pytest.mark.parametrize("of", [REPLY, ORIGINAL], ids=["a reply", "to the frontend"])
def test_without_its_connection_the_answer_is_open(
    tmp_path: Path, of: Packet, connections: str | None
) -> None:
    found, complete = traced(tmp_path, of, connections)
    assert not complete
    assert {outcome.bounds for outcome in found.outcomes} == {(ZERO, ONE)}
    assert CONNECTION in [outcome.missing for outcome in found.outcomes]


@pytest.mark.parametrize(
    ("of", "to", "source"),
    [(REPLY, "203.0.113.1:40000", "10.1.0.2"), (ORIGINAL, "10.244.1.11:8080", "10.244.1.1")],
    ids=["a reply", "to the frontend"],
)
def test_its_connection_decides(tmp_path: Path, of: Packet, to: str, source: str) -> None:
    found, complete = traced(tmp_path, of, OTHER + CONNECTION_OF_IT)
    assert complete
    (outcome,) = found.outcomes
    assert (outcome.to, outcome.bounds) == (to, (ONE, ONE))
    assert str(outcome.ways[0].packet.src) == source


def test_where_no_rule_translates_it_goes_where_its_addresses_say(tmp_path: Path) -> None:
    found, complete = traced(tmp_path, REPLY, None, RULES[RULES.index("*filter") :])
    assert complete
    assert [outcome.verdict.value for outcome in found.outcomes] == ["DROP"]
