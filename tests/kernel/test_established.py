"""Packets of a connection that a real kernel tracks: its entry says where they go."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kinspect.evaluate.path import evaluate
from kinspect.model.packet import CtState
from kinspect.parse.node.host import read_host
from kinspect.parse.rules.dump import read_dump
from kinspect.parse.user.ip_headers import packet_from_ip
from kinspect.pipeline.traffic.established import translation
from tests.kernel.case import SWITCHES, Probe
from tests.kernel.netns import Node, node

pytestmark = pytest.mark.kernel

RULES = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -d 10.43.0.10/32 -p udp -m udp --dport 80 -j DNAT --to-destination 10.1.0.9:8080
-A POSTROUTING -o cni0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate ESTABLISHED -m conntrack --ctstate DNAT -j ACCEPT
COMMIT
"""
# A client's connection to a frontend, sent to 10.1.0.5 and masqueraded: today's rule would send it elsewhere.
INSERT = (
    "conntrack -I -p udp -t 60 -u SEEN_REPLY,ASSURED -s 198.51.100.7 --sport 40000 -d 10.43.0.10 --dport 80"
    " --dst-nat 10.1.0.5:8080 --src-nat 10.1.0.1:40000"
)
PROBES = {
    "the client's": Probe("eth0", "198.51.100.7", "10.43.0.10", 17, 40000, 80),
    "the endpoint's reply": Probe("cni0", "10.1.0.5", "10.1.0.1", 17, 8080, 40000),
}


def loaded(made: Node) -> Mapping[str, bytes]:
    made.switch(SWITCHES)
    made.load(RULES, "nft", 4)
    made.run(*INSERT.split())
    switches = "".join(f"{key} = {value}\n" for key, value in SWITCHES.items()).encode()
    return {
        **made.files(),
        "sysctl.txt": switches,
        "conntrack.txt": made.run("conntrack", "-L").encode(),
    }


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
def test_the_entry_of_its_connection_says_where_a_packet_goes(probe: Probe) -> None:
    with node() as made:
        files = loaded(made)
        (sent,) = made.send([(probe.where, probe.wire(0))])
        rules = read_dump(made.save("nft", 4).encode(), source="dump", family=4, backend="nft")
    host, _ = read_host("node", files)
    packet = probe.packet().replace(state=CtState.ESTABLISHED)
    packet = packet.replace(translation=translation(packet, files))
    (way,) = evaluate(packet, host, [rules]).ways
    seen = packet_from_ip(bytes.fromhex(sent["data"]))
    ends = ("src", "sport", "dst", "dport")
    assert [getattr(way.packet, end) for end in ends] == [getattr(seen, end) for end in ends]
    assert way.packet.oif == sent["out"]
