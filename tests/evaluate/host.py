"""A small host and dumps written in a test, for the evaluator."""

from __future__ import annotations

from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

from kinspect.evaluate.path import evaluate
from kinspect.model.host import Host, Link, LinkAddress, Route
from kinspect.model.packet import Packet, endpoint_text
from kinspect.model.trace import Evaluation
from kinspect.parse.rules.dump import Dump, read_dump
from tests.clusters import packet

OWN = "192.0.2.1"
CLIENT = "198.51.100.7"


def link(name: str, *addresses: str) -> Link:
    found = tuple(
        LinkAddress(i.ip, i.network, "host" if i.ip.is_loopback else "global")
        for i in map(ip_interface, addresses)
    )
    return Link(name, found, loopback=name == "lo")


def route(destination: str, dev: str, gateway: str | None = None, **fields: object) -> Route:
    network = ip_network("0.0.0.0/0" if destination == "default" else destination)
    return Route(network, dev=dev, gateway=ip_address(gateway) if gateway else None, **fields)  # type: ignore[arg-type]


HOST = Host(
    name="here",
    addresses=frozenset(map(ip_address, [OWN, "10.1.0.1", "127.0.0.1"])),
    links={
        each.name: each
        for each in [link("lo", "127.0.0.1/8"), link("eth0", f"{OWN}/24"), link("cni0", "10.1.0.1/24")]
    },
    routes=[
        route("default", "eth0", "192.0.2.254"),
        route("192.0.2.0/24", "eth0"),
        route("10.1.0.0/24", "cni0"),
        route(f"{OWN}/32", "eth0", type="local", table="local"),
        route("10.1.0.1/32", "cni0", type="local", table="local"),
        route("127.0.0.0/8", "lo", type="local", table="local"),
        route("192.0.2.255/32", "eth0", type="broadcast", table="local"),
    ],
)


def dump(text: str, **options: object) -> Dump:
    """``table chain: rule`` free text: lines as iptables-save has them, COMMIT added."""
    lines: list[str] = []
    for line in text.strip().splitlines():
        stripped = line.strip()
        if stripped.startswith("*") and lines:
            lines.append("COMMIT")
        lines.append(stripped)
    return read_dump("\n".join([*lines, "COMMIT", ""]).encode(), source="test", **options)  # type: ignore[arg-type]


def incoming(dst: str = OWN, dport: int = 80, src: str = CLIENT, **fields: Any) -> Packet:
    return packet(src, dst, dport, iif="eth0", **fields)


def outgoing(dst: str, dport: int = 80, src: str = OWN) -> Packet:
    return packet(src, dst, dport, local=True)


def ends(text: str, probe: Packet, host: Host = HOST) -> dict[str, Fraction | tuple[Fraction, Fraction]]:
    """Where a packet ends (address and port, or the verdict), and its share, or bounds."""
    return ends_of(evaluate(probe, host, [dump(text)]))


def ends_of(evaluation: Evaluation) -> dict[str, Fraction | tuple[Fraction, Fraction]]:
    from kinspect.evaluate.summary import outcomes

    found: dict[str, Fraction | tuple[Fraction, Fraction]] = {}
    for outcome in outcomes(evaluation, lambda _a, _p: None):
        to = endpoint_text(outcome.address, outcome.port) if outcome.address else outcome.verdict.value
        key = f"{to} as {outcome.snat}" if outcome.snat else to
        found[key] = outcome.weight.exact if outcome.weight.exact is not None else outcome.bounds
    return found
