"""Rule sets and packets as they might come, for the node of ``agent.py``, by a seed.

Addresses, ports and marks are drawn from small pools that rules and packets share, so that rules
are met. Rules are made so that iptables takes them: an option stands where its extension is valid.
Plain random draws: hypothesis takes a hundred times as long for a rule set as the kernel does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from kinspect.model.packet import ICMP, ICMPV6, TCP, UDP, Family
from tests.kernel.case import HERE, Case, Probe
from tests.kernel.netns import HOOKS


@dataclass(frozen=True)
class Pool:
    """What rules and packets of a family are made from."""

    outside: tuple[str, ...]
    pods: tuple[str, ...]
    own: tuple[str, ...]
    destinations: tuple[str, ...]
    networks: tuple[str, ...]
    ranges: tuple[str, ...]
    nat: tuple[str, ...]
    types: tuple[str, ...]
    icmp: int
    echo: int
    reply: int
    odd: tuple[int, ...]  # other types of control messages, all but errors, whose contents count
    foreign: int  # the other family's protocol of control messages


POOLS: Final[dict[Family, Pool]] = {
    4: Pool(
        outside=("198.51.100.7", "192.0.2.99"),
        pods=("10.1.0.5", "10.1.0.9"),
        own=("192.0.2.1", "192.0.2.2", "10.1.0.1", "127.0.0.1"),
        destinations=(
            "192.0.2.1", "192.0.2.2", "198.18.5.1", "10.1.0.1", "127.0.0.1", "127.9.9.9", "10.1.0.5", "10.1.0.9", "10.43.0.10",
            "10.2.0.7", "10.3.0.3", "10.4.0.4", "203.0.113.80", "10.66.0.1", "10.67.0.1", "10.68.0.1",
        ),
        networks=(
            "192.0.2.1/32", "192.0.2.2/32", "10.1.0.0/24", "10.1.0.5/32", "10.0.0.0/8", "10.43.0.10/32", "127.0.0.0/8", "127.0.0.1/32",
            "198.51.100.7/32", "203.0.113.0/24", "192.0.2.0/24", "0.0.0.0/1", "10.0.0.1/255.0.0.255", "10.2.0.0/23", "0.0.0.0/0",
        ),
        ranges=("10.1.0.2-10.1.0.6", "192.0.2.1-192.0.2.2", "10.0.0.0-10.43.0.9", "198.51.100.0-203.0.113.80"),
        nat=("10.1.0.5", "10.1.0.9", "10.2.0.7", "10.3.0.3", "192.0.2.1", "127.0.0.1", "203.0.113.80", "10.1.0.1", "10.66.0.1", "198.51.100.7"),
        types=("LOCAL", "UNICAST", "BROADCAST", "UNICAST,LOCAL", "BLACKHOLE", "UNREACHABLE", "MULTICAST", "LOCAL,BROADCAST"),
        icmp=ICMP, echo=8, reply=0, odd=(9, 10, 13, 14, 15, 16, 17, 18, 42, 200), foreign=ICMPV6,
    ),
    6: Pool(
        outside=("2001:db8:9::7", "fd00:2::99"),
        pods=("fd00:1::5", "fd00:1::9"),
        own=("fd00:2::1", "fd00:5::1", "fd00:1::1", "::1"),
        destinations=(
            "fd00:2::1", "fd00:5::1", "2001:db8:5::1", "fd00:1::1", "::1", "fd00:1::5", "fd00:1::9", "fd00:43::10",
            "fd00:22::7", "fd00:3::3", "2001:db8:ffff::80", "fd00:66::1", "fd00:67::1", "fd00:68::1",
        ),
        networks=(
            "fd00:2::1/128", "fd00:5::/64", "fd00:1::/64", "fd00:1::5/128", "fd00::/8", "fd00:43::10/128", "::1/128", "2001:db8:9::7/128",
            "2001:db8::/32", "::/1", "fd00::1/ff00::ffff", "::/0", "fd00:2::/64",
        ),
        ranges=("fd00:1::2-fd00:1::6", "fd00:2::1-fd00:2::99", "fd00::-fd00:43::9"),
        nat=("fd00:1::5", "fd00:1::9", "fd00:22::7", "fd00:3::3", "fd00:2::1", "::1", "2001:db8:ffff::80", "fd00:1::1", "fd00:66::1"),
        types=("LOCAL", "UNICAST", "UNREACHABLE", "LOCAL,UNICAST", "MULTICAST", "ANYCAST"),
        icmp=ICMPV6, echo=128, reply=129, odd=(130, 131, 132, 133, 134, 135, 136, 139, 140, 141, 143, 200), foreign=ICMP,
    ),
}  # fmt: skip

PORTS: Final = (53, 80, 81, 8080)
SPORTS: Final = (1023, 40000, 40001)
MARKS: Final = ("0x0", "0x1", "0x2/0x3", "0x40/0x40", "0x0/0x40", "0x4000/0x4000", "0xff", "0x3/0xff")
STATES: Final = (
    "NEW",
    "ESTABLISHED,RELATED",
    "INVALID",
    "DNAT",
    "SNAT",
    "NEW,DNAT",
    "UNTRACKED",
    "INVALID,UNTRACKED",
    "RELATED,SNAT",
)


def probe(rng: Random, family: Family) -> Probe:
    """One packet."""
    pool = POOLS[family]
    where = rng.choice(("eth0", "cni0", HERE))
    src = rng.choice({"eth0": pool.outside, "cni0": pool.pods, HERE: pool.own}[where])
    dst = rng.choice(pool.destinations)
    protocol = rng.choice((TCP, TCP, TCP, UDP, UDP, pool.icmp, 253))
    made = Probe(where, src, dst, protocol)
    if protocol in (TCP, UDP):
        made = replace(made, sport=rng.choice(SPORTS), dport=rng.choice(PORTS))
    if protocol == TCP:
        made = replace(made, flags=rng.choice((0x02, 0x02, 0x02, 0x10, 0x18, 0x12, rng.randrange(0x40))))
    if protocol == pool.icmp:
        made = replace(made, type=rng.choice((pool.echo, pool.echo, pool.reply, rng.choice(pool.odd))))
    if rng.random() < 0.05:
        made = replace(made, protocol=pool.foreign, type=pool.echo)  # the other family's messages
    if rng.random() < 0.1:
        made = replace(made, ttl=rng.choice((63, 65, 255)))
    if rng.random() < 0.05:
        made = replace(made, fragment=rng.choice(("first", "later")))
    return made


@dataclass(frozen=True)
class Chain:
    """Where a rule is to stand, which says what it may ask and do."""

    table: str
    name: str
    hooks: tuple[str, ...]
    later: tuple[str, ...]  # the chains that it may jump to

    @property
    def builtin(self) -> bool:
        return self.name in HOOKS[self.table]

    def only(self, *hooks: str) -> bool:
        """Whether no other hook leads here."""
        return set(self.hooks) <= set(hooks)


def _not(rng: Random) -> str:
    return rng.choice(("", "", "", "! "))


def _matches(
    rng: Random, chain: Chain, family: Family, sets: Sequence[str], draws: str, protocol: str
) -> str:
    """One match; ``protocol`` is what the rule has said with -p, if anything."""
    pool = POOLS[family]
    no = _not(rng)
    kinds = [
        "iprange",
        "addrtype",
        "mark",
        "connmark",
        "ctstate",
        "conntrack",
        "comment",
        "length",
        "ttl",
        "state",
        "pkttype",
        "recent",
        "recent",
    ]
    kinds += ["set"] * (3 if sets else 0)
    kinds += [draws] * (6 if draws else 0)
    kinds += [protocol] * (6 if protocol in ("tcp", "udp", "icmp") else 0)
    kinds += ["multiport"] * (4 if protocol in ("tcp", "udp") else 0)
    if chain.only("PREROUTING", "INPUT", "FORWARD"):
        kinds.append("mac")
    if chain.only("PREROUTING") and chain.table in ("raw", "mangle"):
        kinds.append("rpfilter")
    match rng.choice(kinds):
        case "iprange":
            return f"-m iprange {no}--{rng.choice(('src', 'dst'))}-range {rng.choice(pool.ranges)}"
        case "addrtype":
            side = rng.choice(("src", "dst", "dst", "dst"))
            limits = [""]
            if chain.builtin and chain.name in ("PREROUTING", "INPUT", "FORWARD"):
                limits.append(" --limit-iface-in")
            if chain.builtin and chain.name in ("POSTROUTING", "OUTPUT", "FORWARD"):
                limits.append(" --limit-iface-out")
            return f"-m addrtype {no}--{side}-type {rng.choice(pool.types)}{rng.choice(limits)}"
        case "mark" | "connmark" as marked:
            return f"-m {marked} {no}--mark {rng.choice(MARKS)}"
        case "ctstate":
            return f"-m conntrack {no}--ctstate {rng.choice(STATES)}"
        case "state":
            return f"-m state {no}--state {rng.choice(('NEW', 'INVALID', 'UNTRACKED', 'NEW,ESTABLISHED'))}"
        case "conntrack":
            network = rng.choice(pool.networks)
            kind = rng.choice(
                ("ctorigsrc", "ctorigdst", "ctreplsrc", "ctrepldst", "port", "ctproto", "ctdir", "ctstatus")
            )
            if kind == "port":
                side = rng.choice(("origsrc", "origdst", "replsrc", "repldst"))
                return f"-m conntrack {no}--ct{side}port {_span(rng)}"
            if kind == "ctdir":
                return f"-m conntrack --ctdir {rng.choice(('ORIGINAL', 'REPLY'))}"
            value = {
                "ctproto": protocol if protocol in ("tcp", "udp") else "tcp",
                "ctstatus": "SEEN_REPLY,CONFIRMED",
            }.get(kind, network)
            return f"-m conntrack {no}--{kind} {value}"
        case "comment":
            return '-m comment --comment "as \\"it\\" is"'
        case "length":
            return f"-m length {no}--length {rng.choice(('0:40', '44', '32:43', '32', '48:200'))}"
        case "ttl":
            name, option = ("ttl", "ttl") if family == 4 else ("hl", "hl")
            return f"-m {name} {no}--{option}-eq {rng.choice((63, 64))}"
        case "pkttype":
            return f"-m pkttype {no}--pkt-type {rng.choice(('unicast', 'broadcast', 'multicast'))}"
        case "recent":
            name, side = (
                rng.choice(("one", "one", "two", "nets")),
                rng.choice(("--rsource", "--rsource", "--rdest")),
            )
            action = rng.choice(("--set", "--set", "--rcheck", "--update", "--remove"))
            if action in ("--rcheck", "--update"):
                action += rng.choice(("", "", " --hitcount 2", " --rttl", " --seconds 60"))
            # A list has one mask, that of the first of its rules.
            full, half = ("255.255.255.255", "255.255.255.0")
            if family == 6:
                full, half = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff::"
            mask = half if name == "nets" else full
            return f"-m recent {no}{action} --name {name} --mask {mask} {side}"
        case "mac":
            return f"-m mac {no}--mac-source {rng.choice(('02:00:00:00:00:01', '02:00:00:00:00:02'))}"
        case "rpfilter":
            flags = rng.sample(("--loose", "--validmark", "--accept-local", "--invert"), rng.randint(0, 3))
            return " ".join(["-m rpfilter", *flags])
        case "set":
            name = rng.choice(sets)
            ways = rng.choice(("src", "dst", "src,src", "dst,dst", "src,dst", "dst,src"))
            tail = " --return-nomatch" if rng.random() < 0.5 and "net" in name else ""
            return f"-m set {no}--match-set {name} {ways}{tail}"
        case "random":
            share = rng.choice(("0.50000000000", "0.33333333349", "0.25", "0.1", "0.99"))
            return f"-m statistic --mode random {no}--probability {share}"
        case "nth":
            every = rng.randint(1, 4)
            return f"-m statistic --mode nth {no}--every {every} --packet {rng.randint(0, every - 1)}"
        case "multiport":
            ports = ",".join([_span(rng) for _ in range(rng.randint(1, 3))])
            return f"-m multiport {no}--{rng.choice(('dports', 'sports', 'ports'))} {ports}"
        case "icmp":
            if family == 6:
                return f"-m icmp6 {no}--icmpv6-type {rng.choice(('128', '129', 'echo-request', '128/0', '128/1'))}"
            return f"-m icmp {no}--icmp-type {rng.choice(('8', '0', 'echo-request', '8/0', '8/1', 'any'))}"
        case "tcp" if rng.random() < 0.5:
            mask, wanted = rng.choice(
                (
                    ("FIN,SYN,RST,ACK", "SYN"),
                    ("SYN", "SYN"),
                    ("ALL", "NONE"),
                    ("SYN,ACK", "SYN,ACK"),
                    ("ACK", "NONE"),
                    ("PSH", "PSH"),
                )
            )
            return f"-m tcp {no}--tcp-flags {mask} {wanted}"
        case other:
            second = f" {_not(rng)}--sport {_span(rng)}" if rng.random() < 0.5 else ""
            return f"-m {other} {no}--dport {_span(rng)}{second}"


def _span(rng: Random) -> str:
    low, high = sorted((rng.choice(((*PORTS, *SPORTS))), rng.choice((*PORTS, *SPORTS))))
    return str(low) if low == high or rng.random() < 0.5 else f"{low}:{high}"


def _target(rng: Random, chain: Chain, family: Family, protocol: str) -> str:
    pool = POOLS[family]
    ported = protocol in ("tcp", "udp")
    kinds = ["none", "none", "ACCEPT", "RETURN", "MARK", "MARK", "CONNMARK", "NFLOG"]
    if chain.later:
        kinds += ["jump"] * 6 + ["goto"] * 3
    if chain.table != "nat":
        kinds.append("DROP")
    if chain.table == "raw":
        kinds += ["CT", "CT"]
    if chain.table == "mangle":
        kinds += ["DSCP", "TTL"]
    if chain.table == "filter":
        kinds.append("REJECT")
    if chain.table == "nat":
        if chain.only("PREROUTING", "OUTPUT"):
            kinds += ["DNAT"] * 8 + ["REDIRECT"] * 3 + ["NETMAP"]
        elif chain.only("POSTROUTING"):
            kinds += ["MASQUERADE"] * 5 + ["SNAT"] * 4 + ["NETMAP"]
        elif chain.only("INPUT", "POSTROUTING"):
            kinds += ["SNAT"] * 5
    match rng.choice(kinds):
        case "none":
            return ""
        case "jump" | "goto" as leap:
            return f"-{'j' if leap == 'jump' else 'g'} {rng.choice(chain.later)}"
        case "MARK":
            how = rng.choice(("--set-xmark", "--set-mark", "--or-mark", "--and-mark", "--xor-mark"))
            mark = rng.choice(MARKS)
            return f"-j MARK {how} {mark if how.startswith('--set') else mark.partition('/')[0]}"
        case "CONNMARK":
            way = rng.choice(
                (
                    "--set-xmark 0x40/0xff",
                    "--save-mark --nfmask 0xff --ctmask 0xff",
                    "--save-mark",
                    "--restore-mark",
                    "--restore-mark --nfmask 0x40 --ctmask 0x40",
                    "--set-mark 0x3",
                )
            )
            return f"-j CONNMARK {way}"
        case "NFLOG":
            return "-j NFLOG --nflog-group 9"
        case "CT":
            return rng.choice(
                (
                    "-j CT --notrack",
                    "-j NOTRACK",
                    "-j CT --zone 5",
                    "-j CT --zone mark",
                    "-j CT --zone-orig 7",
                    "-j CT --ctevents new",
                )
            )
        case "DSCP":
            return f"-j DSCP --set-dscp {rng.choice(('0x00', '0x0a'))}"
        case "TTL":
            return "-j TTL --ttl-set 63" if family == 4 else "-j HL --hl-set 63"
        case "REJECT":
            words = (
                ("icmp-port-unreachable", "icmp-admin-prohibited")
                if family == 4
                else ("icmp6-port-unreachable", "icmp6-adm-prohibited")
            )
            return (
                f"-j REJECT --reject-with {rng.choice((*words, 'tcp-reset') if protocol == 'tcp' else words)}"
            )
        case "DNAT" | "SNAT" as kind:
            option = "--to-destination" if kind == "DNAT" else "--to-source"
            return f"-j {kind} {option} {(_to(rng, family, ported))}"
        case "REDIRECT" | "MASQUERADE" as kind:
            return f"-j {kind}" + (
                f" --to-ports {rng.choice(('8080', '80-81', '1000-50000'))}"
                if ported and rng.random() < 0.5
                else ""
            )
        case "NETMAP":
            return f"-j NETMAP --to {rng.choice([network for network in pool.networks if not network.endswith(('.255', ':ffff'))])}"
        case verdict:
            return f"-j {verdict}"


def _to(rng: Random, family: Family, ported: bool) -> str:
    pool = POOLS[family]
    host = rng.choice((*pool.nat, *pool.nat, *(pool.ranges[:2])))
    if not ported or rng.random() < 0.5:
        return host
    ports = rng.choice(("80", "8080", "80-81", "1000-50000"))
    if rng.randint(0, 5) == 0:
        return f":{ports}"
    return f"{f'[{host}]' if family == 6 else host}:{ports}"


def _rule(rng: Random, chain: Chain, family: Family, sets: Sequence[str], draws: str) -> str:
    pool = POOLS[family]
    words = [f"-A {chain.name}"]
    for option in ("-s", "-d"):
        if rng.random() < 0.2:
            network = rng.choice(pool.networks)
            words.append(f"{'' if network.endswith('/0') else _not(rng)}{option} {network}")
    links = ("eth0", "cni0", "lo", "eth+", "eth1", "cni+")
    if rng.random() < 0.2 and (not chain.builtin or chain.name in ("PREROUTING", "INPUT", "FORWARD")):
        words.append(f"{_not(rng)}-i {rng.choice(links)}")
    if rng.random() < 0.2 and (not chain.builtin or chain.name in ("OUTPUT", "POSTROUTING", "FORWARD")):
        words.append(f"{_not(rng)}-o {rng.choice(links)}")
    protocol = rng.choice(("", "", "tcp", "tcp", "udp", "icmp", "not"))
    if protocol == "not":
        words.append(f"! -p {rng.choice(('tcp', 'udp', '253'))}")
    elif protocol:
        words.append(f"-p {'ipv6-icmp' if protocol == 'icmp' and family == 6 else protocol}")
    count = rng.choice((0, 0, 0, 1, 1, 2))
    matches = [_matches(rng, chain, family, sets, draws, protocol) for _ in range(count)]
    # iptables-nft 1.8.9 prints two of tcp or udp as one.
    words += {" ".join(match.split()[:2]): match for match in matches}.values()
    return " ".join([*words, _target(rng, chain, family, protocol)]).strip()


def _table(rng: Random, table: str, family: Family, sets: Sequence[str], draws: str) -> list[str]:
    """A table: some built-in chains with rules, and user chains that lead to later ones only."""
    hooks = HOOKS[table]
    groups: dict[tuple[str, ...], tuple[str, ...]] = {hooks: tuple("ABC")}
    if table == "nat":
        groups = {
            ("PREROUTING", "OUTPUT"): tuple("ABC"),
            ("POSTROUTING",): tuple("DEF"),
            ("INPUT",): tuple("GH"),
        }
    chains = []
    for of, names in groups.items():
        chains += [Chain(table, hook, of if table == "nat" else (hook,), names) for hook in of]
        chains += [Chain(table, name, of, names[at + 1 :]) for at, name in enumerate(names)]
    lines = [f"*{table}"]
    for chain in chains:
        policy = "-"
        if chain.builtin:
            policy = rng.choice(("ACCEPT",) * 9 + ("DROP",)) if table == "filter" else "ACCEPT"
        lines.append(f":{chain.name} {policy} [0:0]")
    for chain in chains:
        lines += [_rule(rng, chain, family, sets, draws) for _ in range(rng.choice((0, 1, 1, 2, 3, 4)))]
    return [*lines, "COMMIT"]


def _sets(rng: Random, family: Family) -> tuple[list[str], list[str]]:
    """Sets of the types that rules use most: their names, and the lines that make them."""
    pool = POOLS[family]
    inet = "inet" if family == 4 else "inet6"
    single = (*pool.destinations, *pool.outside)
    nets = [network for network in pool.networks if not network.endswith(("/0", ".255", ":ffff"))]
    port = ("tcp:80", "udp:53", "tcp:79-82", "tcp:40000", "udp:80")
    lines, names = [], []

    def made(name: str, kind: str, members: list[str], options: str = f"family {inet}") -> None:
        names.append(name)
        lines.extend(
            [
                f"create {name} {kind} {options}".strip(),
                *(f"add {name} {member}" for member in dict.fromkeys(members)),
            ]
        )

    made("ips", "hash:ip", rng.choices(single, k=rng.randint(0, 4)))
    found: dict[str, str] = {}
    for network in rng.choices(nets, k=rng.randint(0, 5)):
        found.setdefault(network, f"{network}{rng.choice(('', '', ' nomatch'))}")
    made("net-only", "hash:net", list(found.values()))
    made(
        "ipport",
        "hash:ip,port",
        [f"{rng.choice(single)},{rng.choice(port)}" for _ in range(rng.randint(0, 4))],
    )
    made(
        "net-port",
        "hash:net,port",
        [f"{rng.choice(nets)},{rng.choice(port)}" for _ in range(rng.randint(0, 4))],
    )
    made(
        "ports",
        "bitmap:port",
        [rng.choice(("80", "53", "79-81", "40000")) for _ in range(rng.randint(0, 2))],
        "range 0-65535",
    )
    made(
        "net-link",
        "hash:net,iface",
        [f"{rng.choice(nets)},{rng.choice(('eth0', 'cni0', 'lo'))}" for _ in range(rng.randint(0, 3))],
    )
    made("list", "list:set", rng.sample(("ips", "net-only", "ipport"), rng.randint(0, 2)), "")
    unique = [line for at, line in enumerate(lines) if line not in lines[:at]]
    return names, unique


_FREQUENT: Final = {"nat": 8, "filter": 7, "mangle": 6, "raw": 3, "security": 1}  # of ten cases


def make(rng: Random, backend: str, family: Family, draws: str = "", *, both: bool = False) -> Case:
    """A whole case; ``draws`` is the mode of ``statistic`` that its rules may use, if any.

    ``both``: the other back end has rules, too.
    """
    names, sets = (_sets(rng, family)) if rng.randint(0, 4) == 0 else ([], [])

    def tables() -> list[str]:
        found: list[str] = []
        for table in HOOKS:
            if rng.randint(0, 9) < _FREQUENT[table]:
                found += _table(rng, table, family, names, draws)
        return found

    rules, other = tables(), tables() if both else []
    if draws == "nth" and rng.random() < 0.5:
        rules, other = _counted_once(rules), _counted_never(other)
    switches = {}
    if rng.randint(0, 19) == 0:
        switches = {"net.ipv4.ip_forward" if family == 4 else "net.ipv6.conf.all.forwarding": "0"}
    localnet = rng.choice(("", "", "all", "eth0"))
    if localnet and family == 4:
        switches[f"net.ipv4.conf.{localnet}.route_localnet"] = "1"
    count = (1, 4) if draws else (1, 24)
    sent = [probe(rng, family) for _ in range(rng.randint(*count))]
    times = 150 if draws else 1
    return Case(
        backend,
        family,
        tuple(rules),
        tuple(replace(each, times=times) for each in sent),
        tuple(sets),
        switches,
        other=tuple(other),
    )


_NTH: Final = re.compile(r" -m statistic --mode nth( !)? --every \d+ --packet \d+")


def _counted_once(rules: list[str]) -> list[str]:
    """With one ``nth`` at most, whose share is exact: of two that a packet meets it has bounds."""
    first = next((at for at, rule in enumerate(rules) if _NTH.search(rule)), None)
    return [rule if at == first else _NTH.sub("", rule) for at, rule in enumerate(rules)]


def _counted_never(rules: list[str]) -> list[str]:
    return [_NTH.sub("", rule) for rule in rules]


__all__ = ["make"]
