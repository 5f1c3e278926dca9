"""Targets, each by what it does to a packet that walks one hook."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kinspect.model.packet import Packet
from kinspect.netfilter import registry, support
from tests.evaluate.host import OWN, ends, incoming, outgoing

POD = "10.1.0.9"
NAT = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
MANGLE = "*mangle\n:PREROUTING ACCEPT [0:0]\n:A - [0:0]\n"
RAW = "*raw\n:PREROUTING ACCEPT [0:0]\n"


@pytest.mark.parametrize(
    ("text", "probe", "found"),
    [
        pytest.param(f"{NAT}-A PREROUTING -j DNAT --to-destination {POD}", incoming(), {f"{POD}:80": 1}, id="DNAT keeps the port"),
        pytest.param(f"{NAT}-A PREROUTING -p tcp -j DNAT --to-destination {POD}:79-81", incoming(), {f"{POD}:80": 1}, id="a port in the range is kept"),
        pytest.param(f"{NAT}-A PREROUTING -p tcp -j DNAT --to-destination {POD}:90-95", incoming(), {f"{POD}:90": 1}, id="else the lowest is taken"),
        pytest.param(f"{NAT}-A PREROUTING -p tcp -j REDIRECT --to-ports 8080", incoming(), {f"{OWN}:8080": 1}, id="REDIRECT to the interface's address"),
        pytest.param(f"{NAT}-A OUTPUT -p tcp -j REDIRECT --to-ports 8080", outgoing("203.0.113.9"), {"127.0.0.1:8080": 1}, id="REDIRECT of what is made here"),
        pytest.param(f"{NAT}-A PREROUTING -d {OWN}/32 -j NETMAP --to 10.1.0.0/24", incoming(), {"10.1.0.1:80": 1}, id="NETMAP keeps the host's part"),
        pytest.param(f"{NAT}-A POSTROUTING -j SNAT --to-source 192.0.2.9", outgoing("203.0.113.9"), {"203.0.113.9:80 as 192.0.2.9": 1}, id="SNAT"),
        pytest.param(f"{RAW}-A PREROUTING -j NOTRACK\nCOMMIT\n{NAT}-A PREROUTING -j DNAT --to-destination {POD}", incoming(), {f"{OWN}:80": 1}, id="NOTRACK: no nat"),
        pytest.param(f"{RAW}-A PREROUTING -j CT --notrack\nCOMMIT\n{NAT}-A PREROUTING -j DNAT --to-destination {POD}", incoming(), {f"{OWN}:80": 1}, id="CT --notrack"),
        pytest.param(f"{RAW}-A PREROUTING -j CT --zone 1\nCOMMIT\n{NAT}-A PREROUTING -j DNAT --to-destination {POD}", incoming(), {f"{POD}:80": 1}, id="CT --zone changes nothing"),
        pytest.param(
            f"{MANGLE}-A PREROUTING -j MARK --set-xmark 0x5/0xf\n-A PREROUTING -j CONNMARK --save-mark --nfmask 0xff --ctmask 0xff\n"
            "-A PREROUTING -j MARK --set-mark 0\n-A PREROUTING -j CONNMARK --restore-mark --nfmask 0x4 --ctmask 0x4\n"
            "-A PREROUTING -m mark --mark 0x4 -m connmark --mark 0x5 -j DROP",
            incoming(), {"DROP": 1}, id="CONNMARK saves and restores by masks",
        ),
        pytest.param(f"{MANGLE}-A PREROUTING -j TTL --ttl-set 9\n-A PREROUTING -m ttl --ttl-eq 9 -j DROP", incoming().replace(ttl=64), {"DROP": 1}, id="TTL"),
        pytest.param(f"{MANGLE}-A PREROUTING -j LOG --log-prefix \"x \"\n-A PREROUTING -j NFLOG --nflog-group 3\n-A PREROUTING -p tcp -j TCPMSS --clamp-mss-to-pmtu", incoming(), {f"{OWN}:80": 1}, id="what only looks on"),
        pytest.param(f"{MANGLE}-A PREROUTING -j NFQUEUE --queue-num 3", incoming(), {"QUEUE": (0, 1), "DROP": (0, 1)}, id="NFQUEUE: dropped where nobody listens"),
        pytest.param(f"{MANGLE}-A PREROUTING -m limit --limit 5/min -j DROP", incoming(), {"DROP": (0, 1), f"{OWN}:80": (0, 1)}, id="a rate limit is a question"),
        pytest.param(f"{MANGLE}-A PREROUTING -m recent --set --name X\n-A PREROUTING -m recent --rcheck --name X -j DROP", incoming(), {"DROP": 1}, id="who is put on a list is on it"),
    ],
)  # fmt: skip
def test_what_a_target_does(text: str, probe: Packet, found: dict[str, object]) -> None:
    assert ends(text.replace("COMMIT\n", ""), probe) == {
        key: Fraction(v) if isinstance(v, int) else v for key, v in found.items()
    }


# Every match and target counted in dumps of real nodes.
MATCHES = [
    "addrtype",
    "comment",
    "connlimit",
    "connmark",
    "conntrack",
    "hashlimit",
    "hl",
    "icmp",
    "icmp6",
    "iprange",
    "limit",
    "mac",
    "mark",
    "multiport",
    "nfacct",
    "owner",
    "physdev",
    "pkttype",
    "policy",
    "recent",
    "rpfilter",
    "rt",
    "sctp",
    "set",
    "socket",
    "state",
    "statistic",
    "string",
    "tcp",
    "time",
    "udp",
]
TARGETS = [
    "ACCEPT",
    "CHECKSUM",
    "CONNMARK",
    "CT",
    "DNAT",
    "DROP",
    "LOG",
    "MARK",
    "MASQUERADE",
    "NETMAP",
    "NFLOG",
    "NFQUEUE",
    "NOTRACK",
    "REDIRECT",
    "REJECT",
    "RETURN",
    "SNAT",
    "TCPMSS",
    "TPROXY",
    "TRACE",
]


def test_the_vocabulary_of_real_nodes_is_known_and_most_of_it_decided() -> None:
    standings = {name: support.match(name) for name in MATCHES} | {
        name: support.target(name) for name in TARGETS
    }
    by_standing = {s: sorted(n for n, found in standings.items() if found is s) for s in support.Support}
    print({standing.value: names for standing, names in by_standing.items()})
    assert by_standing[support.Support.UNKNOWN] == []
    decided = len(standings) - len(by_standing[support.Support.UNDECIDED])
    assert decided / len(standings) > 0.75


@pytest.mark.parametrize("name", sorted(registry.MATCHES))
def test_every_registered_match_is_there(name: str) -> None:
    extension = registry.match(name)
    assert extension is not None
    assert extension.name == name


@pytest.mark.parametrize("name", sorted(registry.TARGETS))
def test_every_registered_target_is_there(name: str) -> None:
    extension = registry.target(name)
    assert extension is not None
    assert extension.name == name
