"""Small rule sets in a real kernel, for what recorded dumps do not have: each rule's counter agrees."""

from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from tests.clusters import packet
from tests.kernel.compare import sent
from tests.kernel.lab import BACKENDS, Lab

pytestmark = pytest.mark.kernel


def probes(*, iif: str | None = "eth0", dst: str = "192.168.0.11") -> list[Packet]:
    """Forty clients of TCP and UDP, to several ports."""
    found = []
    for number in range(40):
        src = (
            "192.168.0.11"
            if iif is None
            else f"198.51.{number}.7"
            if iif == "eth0"
            else f"10.42.19.{40 + number}"
        )
        protocol = "tcp" if number % 3 else "udp"
        one = packet(src, dst, 80 + number % 4, protocol, local=iif is None, iif=iif)
        found.append(one.replace(sport=30000 + number))
    return found


NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n"
FILTER = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n:C - [0:0]\n"
MANGLE = "*mangle\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
SEEN = (
    f"{FILTER}"
    + "".join(f"-A FORWARD -d 10.42.19.{n}/32\n" for n in range(2, 12))
    + "-A FORWARD -p tcp -m tcp --dport 8080:8085\n-A INPUT -p tcp -m tcp --dport 8080\nCOMMIT\n"
)
AFTER = "-A POSTROUTING -s 10.42.19.1/32\n-A POSTROUTING -s 192.168.0.11/32\n"

RULES = {
    "goto, RETURN and policies": f"{FILTER}-A INPUT -p tcp -j A\n-A INPUT -j C\n-A A -g B\n-A A -j DROP\n-A B -p tcp -m tcp --dport 81 -j RETURN\n"
    "-A B -p tcp -m tcp --dport 82 -j ACCEPT\n-A B\n-A C -p udp -j RETURN\n-A C -p tcp -m multiport --dports 80,83 -j DROP\n-A C -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n",
    "DNAT to a range of addresses": f"{NAT}-A PREROUTING -p tcp -j DNAT --to-destination 10.42.19.2-10.42.19.11\nCOMMIT\n{SEEN}",
    "DNAT to a range of ports": f"{NAT}-A PREROUTING -p tcp -j DNAT --to-destination 10.42.19.2:81-82\nCOMMIT\n{FILTER}-A FORWARD -p tcp -m tcp --dport 81\n-A FORWARD -p tcp -m tcp --dport 82\n-A FORWARD -p tcp -m tcp --dport 83\nCOMMIT\n",
    "REDIRECT": f"{NAT}-A PREROUTING -p tcp -j REDIRECT --to-ports 8080\n-A OUTPUT -p tcp -j REDIRECT --to-ports 8080\nCOMMIT\n{SEEN}",
    "NETMAP": f"{NAT}-A PREROUTING -p udp -j NETMAP --to 10.42.19.0/24\nCOMMIT\n{SEEN}",
    "untracked packets meet no nat rule": f"{RAW}-A PREROUTING -p tcp -j CT --notrack\n-A PREROUTING -m conntrack --ctstate INVALID\n-A PREROUTING -m conntrack --ctstate NEW\nCOMMIT\n"
    f"{NAT}-A PREROUTING -p tcp\n-A PREROUTING -p udp -j DNAT --to-destination 10.42.19.3\nCOMMIT\n"
    f"{FILTER}-A INPUT -m conntrack --ctstate UNTRACKED\n-A FORWARD -m conntrack --ctstate DNAT\n-A FORWARD -m conntrack --ctstate NEW,UNTRACKED\nCOMMIT\n",
    "marks of packets and connections": f"{MANGLE}-A PREROUTING -p tcp -j MARK --set-xmark 0x5/0xff\n-A PREROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff\n"
    "-A PREROUTING -j MARK --set-xmark 0x30/0x0\n-A PREROUTING -m mark --mark 0x35\n-A PREROUTING -m mark ! --mark 0x30/0xf0\n-A PREROUTING -m connmark --mark 0x5/0x5\n"
    "-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xf\n-A INPUT -m mark --mark 0x35\n-A INPUT -m mark --mark 0x30\nCOMMIT\n",
    "types of addresses": f"{FILTER}-A INPUT -m addrtype --dst-type LOCAL\n-A INPUT -m addrtype ! --dst-type LOCAL\n-A INPUT -m addrtype --src-type UNICAST\n"
    "-A INPUT -m addrtype --src-type LOCAL --dst-type LOCAL\n-A FORWARD -m addrtype --dst-type UNICAST\n-A FORWARD -o cni0\n-A FORWARD ! -i cni+\n-A OUTPUT -o lo\nCOMMIT\n",
    "masquerading by the way out": f"{NAT}-A POSTROUTING -o cni0 -j MASQUERADE\n-A POSTROUTING -p tcp -j MASQUERADE --random-fully\n{AFTER}COMMIT\n",
    "draws and counts": f"{FILTER}-A INPUT -m statistic --mode random --probability 0.33333333349 -j A\n-A INPUT -m statistic --mode random ! --probability 0.5 -j B\n-A A -p tcp\n-A B -p udp\nCOMMIT\n",
    "ranges, flags and lengths": f"{FILTER}-A INPUT -m iprange --src-range 198.51.5.0-198.51.20.255\n-A INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN\n-A INPUT -p tcp -m tcp ! --tcp-flags SYN SYN\n"
    "-A INPUT -m length --length 40\n-A INPUT -m ttl --ttl-eq 64\n-A INPUT -p udp -m udp --sport 30000:30009 ! --dport 81\nCOMMIT\n",
}  # fmt: skip
WAYS = {
    "in": probes(),
    "through": probes(dst="10.42.19.5"),
    "from a pod": probes(iif="cni0", dst="203.0.113.9"),
    "from here": probes(iif=None, dst="203.0.113.9"),
    "to itself": probes(iif=None),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("rules", RULES)
def test_every_rule_is_met_as_often_as_the_answer_says(node: Lab, backend: str, rules: str, way: str) -> None:
    node.load(RULES[rules].encode(), backend, 4)
    try:
        _, differences = sent(node, backend, WAYS[way])
    finally:
        node.flush(backend, 4)
    assert differences == []
