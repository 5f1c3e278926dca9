"""Policy rules, routes, switches and packets as they might come, for the node of ``agent.py``, by a seed.

What ``generate`` leaves alone: which way a packet goes, and whether it may come in at all. The rules
of iptables are few and only mark packets, or send them elsewhere: each has an effect on routing.
"""

from __future__ import annotations

from random import Random
from typing import Final

from kinspect.model.packet import TCP, UDP, Family
from tests.kernel.case import HERE, Case, Probe

LINKS: Final = ("eth0", "cni0", "eth1")
SWITCHES: Final = {
    **{f"net.ipv4.conf.all.{name}": "0" for name in ("rp_filter", "accept_local", "src_valid_mark")},
    **{
        f"net.ipv4.conf.{link}.{name}": value
        for link in LINKS
        for name, value in (
            ("rp_filter", "0"), ("accept_local", "0"), ("src_valid_mark", "0"), ("forwarding", "1"),
            ("send_redirects", "1"), ("route_localnet", "0"),
        )
    },
}  # fmt: skip
"""Switches that routing asks for, as they are where a case says nothing else."""

_TABLES: Final = ("100", "101", "200", "main", "main")
_SOURCES: Final[dict[Family, tuple[str, ...]]] = {
    4: ("198.51.100.7", "192.0.2.99", "192.0.2.1", "10.1.0.5", "10.1.0.1", "10.3.0.9", "10.2.0.9", "10.66.0.9",
        "192.0.2.255", "0.0.0.0", "224.0.0.5", "255.255.255.255", "127.0.0.5", "10.9.0.7"),
    6: ("2001:db8:9::7", "fd00:2::99", "fd00:1::5", "fd00:3::9", "fe80::77", "ff02::9", "fd00:9::7", "::ffff:10.0.0.1"),
}  # fmt: skip
_OWN: Final[dict[Family, tuple[str, ...]]] = {
    4: ("192.0.2.1", "192.0.2.2", "198.18.5.1", "10.1.0.1"),
    6: ("fd00:2::1", "fd00:5::1", "fd00:1::1"),
}
_DESTINATIONS: Final[dict[Family, tuple[str, ...]]] = {
    4: ("192.0.2.1", "10.1.0.1", "10.1.0.5", "10.2.0.7", "10.3.0.3", "10.4.0.4", "203.0.113.80", "10.9.0.5", "10.9.1.5",
        "10.66.0.1", "10.67.0.1", "192.0.2.255", "255.255.255.255", "224.0.0.1", "0.0.0.0", "127.0.0.1", "192.0.2.77"),
    6: ("fd00:2::1", "fd00:1::1", "fd00:1::5", "fd00:22::7", "fd00:3::3", "2001:db8:ffff::80", "fd00:9::5", "fd00:9:1::5",
        "fd00:66::1", "ff02::1", "fd00:2::77"),
}  # fmt: skip
_NETWORKS: Final[dict[Family, tuple[str, ...]]] = {
    4: (
        "10.9.0.0/16",
        "10.9.1.0/24",
        "10.2.0.0/24",
        "203.0.113.0/24",
        "198.51.100.0/24",
        "10.3.0.0/25",
        "default",
    ),
    6: ("fd00:9::/32", "fd00:9:1::/48", "fd00:22::/64", "2001:db8::/32", "fd00:3::/80", "default"),
}
_GATEWAYS: Final[dict[Family, tuple[tuple[str, str], ...]]] = {
    4: (("192.0.2.254", "eth0"), ("192.0.2.253", "eth0"), ("10.1.0.254", "cni0")),
    6: (("fd00:2::fe", "eth0"), ("fd00:2::fd", "eth0"), ("fd00:1::fe", "cni0")),
}


def make(rng: Random, family: Family, backend: str) -> Case:
    """One case: its number of policy rules and routes is drawn, too."""
    setup = [*(_rule(rng, family, 200 + at) for at in range(rng.randint(0, 4)))]
    setup += [_route(rng, family) for _ in range(rng.randint(0, 4))]
    switches: dict[str, str] = {}
    if family == 4:
        for key in SWITCHES:
            if rng.random() < 0.15:
                switches[key] = rng.choice("12") if key.endswith("rp_filter") else "01"[SWITCHES[key] == "0"]
    probes = tuple(_probe(rng, family) for _ in range(8))
    if any("port" in line or "ipproto" in line for line in setup):
        # A raw socket's packets have neither, as far as policy rules see.
        probes = tuple(probe for probe in probes if probe.where != HERE) or (_probe(rng, family, "eth0"),)
    return Case(
        backend, family, _tables(rng, family), probes, setup=tuple(dict.fromkeys(setup)), switches=switches
    )


def _rule(rng: Random, family: Family, priority: int) -> str:
    words = [f"priority {priority}"]
    conditions = {
        "from": f"from {rng.choice(_SOURCES[family][:6])}",
        "from net": f"from {rng.choice(_NETWORKS[family][:-1])}",
        "to": f"to {rng.choice(_NETWORKS[family][:-1])}",
        "iif": f"iif {rng.choice((*LINKS, 'lo'))}",
        "fwmark": f"fwmark {rng.choice(('0x1', '0x2/0x2', '0x0/0x1'))}",
        "tos": f"tos {rng.choice(('0x10', '0x08'))}",
        "ipproto": f"ipproto {rng.choice(('tcp', 'udp'))}",
        "dport": f"dport {rng.choice(('80', '80-90'))}",
        "sport": "sport 40000",
        "oif": "oif eth1",
    }
    asked = rng.sample(sorted(conditions), rng.choice((0, 1, 1, 2)))
    if rng.random() < 0.3 and asked:
        words.insert(0, "not")
    words += [conditions[name] for name in asked]
    kind = rng.random()
    if kind < 0.1:
        words.append(rng.choice(("blackhole", "unreachable", "prohibit")))
    elif kind < 0.2:
        words.append(f"goto {rng.choice((204, 32766))}")
    else:
        words.append(f"lookup {rng.choice(_TABLES)}")
        if rng.random() < 0.2:
            words.append(f"suppress_prefixlength {rng.choice((0, 16, 24))}")
    return f"{_ip(family)} rule add {' '.join(words)}"


def _route(rng: Random, family: Family) -> str:
    network, table = rng.choice(_NETWORKS[family]), rng.choice(_TABLES)
    if network == "default" and table == "main":
        table = "200"
    metric = f" metric {rng.choice((5, 9))}" if rng.random() < 0.4 else ""
    tos = f" tos {rng.choice(('0x10', '0x08'))}" if family == 4 and rng.random() < 0.2 else ""
    kind = rng.choice(("via", "via", "dev", "several", "blackhole", "throw", "local", "unreachable"))
    if kind == "local" and family == 6:
        kind = "dev"
    ways = rng.sample(_GATEWAYS[family], 2)
    to = {
        "via": f"via {ways[0][0]} dev {ways[0][1]}",
        "dev": f"dev {rng.choice(LINKS)}",
        "several": " ".join(
            f"nexthop via {gateway} dev {dev} weight {rng.randint(1, 3)}" for gateway, dev in ways
        ),
        "local": "dev lo",
    }.get(kind, "")
    name = kind if kind in ("blackhole", "throw", "local", "unreachable") else ""
    head = f"{_ip(family)} route add {name + ' ' if name else ''}{network}{tos}"
    # "several" must end the line: what follows would be of the last next hop.
    return f"{head} table {table}{metric} {to}".rstrip()


def _ip(family: Family) -> str:
    return "ip" if family == 4 else "ip -6"


def _probe(rng: Random, family: Family, where: str | None = None) -> Probe:
    where = where or rng.choice((*LINKS, *LINKS, HERE))
    src = rng.choice(_OWN[family] if where == HERE else _SOURCES[family])
    routed = [
        to for to in _DESTINATIONS[family] if to.startswith(("10.9.", "fd00:9:", "203.", "10.2.", "fd00:22"))
    ]
    dst = rng.choice(rng.choice((_DESTINATIONS[family], routed)))
    if where == HERE and dst in ("0.0.0.0", "255.255.255.255", "224.0.0.1", "ff02::1", "192.0.2.255"):
        dst = _DESTINATIONS[family][2]  # what many receive comes back as a copy, which is not followed
    protocol = rng.choice((TCP, UDP, UDP))
    ttl, tos = rng.choice((64, 64, 64, 2, 1)), rng.choice((0, 0, 0x10, 0x08, 0xB8))
    if where == HERE:
        tos = 0  # a raw socket is routed by its own
    return Probe(where, src, dst, protocol, dport=rng.choice((80, 85, 91)), ttl=ttl, tos=tos)


def _tables(rng: Random, family: Family) -> tuple[str, ...]:
    """Rules that mark what comes in or is made here, change its hops, or send it elsewhere."""
    nat = {4: ("10.1.0.5", "10.9.0.5", "10.3.0.3"), 6: ("fd00:1::5", "fd00:9::5", "fd00:3::3")}[family]
    hops = "TTL --ttl-set 1" if family == 4 else "HL --hl-set 1"
    marks = [
        f"-A {hook} -p {rng.choice(('tcp', 'udp'))} -j {rng.choice(('MARK --set-xmark 0x1/0xffffffff', 'MARK --set-xmark 0x2/0xffffffff', hops))}"
        for hook in ("PREROUTING", "OUTPUT")
        if rng.random() < 0.4
    ]
    if rng.random() < 0.3 and any("OUTPUT" in line and "set 1" in line for line in marks):
        marks = []
    dnat = [
        f"-A {hook} -p tcp -j DNAT --to-destination {rng.choice(nat)}"
        for hook in ("PREROUTING", "OUTPUT")
        if rng.random() < 0.25
    ]
    snat = ["-A POSTROUTING -j MASQUERADE"] if rng.random() < 0.3 else []
    seen = [f"-A FORWARD -o {link}" for link in LINKS] + ["-A INPUT", "-A OUTPUT -o eth0"]
    return (
        "*mangle", ":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]",
        ":POSTROUTING ACCEPT [0:0]", *marks, "COMMIT",
        "*nat", ":PREROUTING ACCEPT [0:0]", ":INPUT ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", ":POSTROUTING ACCEPT [0:0]",
        *dnat, *snat, "COMMIT",
        "*filter", ":INPUT ACCEPT [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", *seen, "COMMIT",
    )  # fmt: skip
