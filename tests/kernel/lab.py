"""A node in network namespaces: a real kernel, loaded with rules, sent real packets, read by its counters.

::

    outside ──── eth0 [node] cni0 ──── pod

``outside`` answers for everything behind eth0 (the client, the other node and its pods), ``pod``
for what is on the bridge. Both take packets and never answer, so that each packet sent is exactly
one packet in the node's counters.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from kinspect.model.node import NodeState
from kinspect.model.packet import Family
from kinspect.parse.node.host import read_host
from kinspect.parse.rules.dump import Dump, read_dump
from kinspect.snapshot.types import SYSCTL_PATTERN
from tests.needs import isolated, needs

BACKENDS = ("nft", "legacy")

# Sends raw packets, given as hex lines, as they are: IP header included.
_SENDER = """
import socket, sys
sockets = {
    4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
    6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
}
for line in sys.stdin:
    data = bytes.fromhex(line)
    version = data[0] >> 4
    dst = socket.inet_ntop(socket.AF_INET, data[16:20]) if version == 4 else socket.inet_ntop(socket.AF_INET6, data[24:40])
    try:
        sockets[version].sendto(data, (dst, 0))
    except PermissionError:
        pass  # a rule of OUTPUT dropped or rejected it, which is an answer too
"""


@dataclass
class Lab:
    """The namespaces of one node."""

    pid: int
    macs: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, where: str | None = None, stdin: bytes = b"", check: bool = True) -> bytes:
        """A command in the node's namespace, or in the one named."""
        entered = ["nsenter", "-t", str(self.pid), "-n", "-m"]
        if os.geteuid() != 0:
            entered += ["-U", "--preserve-credentials"]
        if where is not None:
            entered += ["ip", "netns", "exec", where]
        done = subprocess.run([*entered, *command], input=stdin, capture_output=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stderr.decode()}")
        return done.stdout

    def script(self, text: str, where: str | None = None) -> None:
        """Shell lines, each of which must succeed."""
        self.run("sh", "-e", "-c", text, where=where)

    def load(self, dump: bytes, backend: str, family: Family) -> None:
        """Load a dump, with counters at zero, and forget all connections."""
        for name in re.findall(rb"--nfacct-name +(\S+)", dump):
            self.run("nfacct", "add", name.decode(), check=False)
        self.run(f"{_tables(family)}-{backend}-restore", stdin=re.sub(rb"(?m)^\[\d+:\d+\] ", b"", dump))
        self.run("conntrack", "-F", check=False)
        # A bridge does not pass on to whom it does not know: every pod the rules name is known.
        for address in set(
            re.findall(r"--to-destination \[?(fd00:42:19:[0-9a-f:]+|10\.42\.19\.[0-9]+)", dump.decode())
        ):
            self._neighbour(None, address, "cni0", self.macs["pod"])

    def _neighbour(self, where: str | None, address: str, dev: str, mac: str) -> None:
        command = ["ip", "neigh", "replace", address, "lladdr", mac, "dev", dev, "nud", "permanent"]
        self.run(*command, where=where)

    def flush(self, backend: str, family: Family) -> None:
        """Take all rules away."""
        for table in ("raw", "mangle", "nat", "filter"):
            self.run(f"{_tables(family)}-{backend}", "-t", table, "-F", check=False)
            self.run(f"{_tables(family)}-{backend}", "-t", table, "-X", check=False)

    def save(self, backend: str, family: Family) -> bytes:
        """The rules with their counters."""
        return self.run(f"{_tables(family)}-{backend}-save", "-c")

    def dump(self, backend: str, family: Family) -> Dump:
        """The rules with their counters, parsed."""
        return read_dump(self.save(backend, family), source=f"{backend}{family}", family=family)

    def state(self, backend: str, family: Family) -> NodeState:
        """The node as kinspect sees it now."""
        files = {
            "ip-addr.json": self.run("ip", "-d", "-j", "addr"),
            "ip-route.json": self.run("ip", "-j", "route", "show", "table", "all"),
            "ip-6-route.json": self.run("ip", "-6", "-j", "route", "show", "table", "all"),
            "ip-rule.json": self.run("ip", "-j", "rule"),
            "ip-6-rule.json": self.run("ip", "-6", "-j", "rule"),
            "sysctl.txt": self.run("sysctl", "-a", "-r", SYSCTL_PATTERN),
        }
        host, _ = read_host("node", files)
        dumps: dict[Family, Sequence[Dump]] = {4: [], 6: []}
        dumps[family] = [self.dump(backend, family)]
        return NodeState("node", host, dumps, "iptables", "a test")

    def send(self, packets: Sequence[bytes], where: str | None) -> None:
        """Send raw packets from a namespace; None: from the node itself."""
        lines = "".join(f"{packet.hex()}\n" for packet in packets).encode()
        self.run("python3", "-c", _SENDER, where=where, stdin=lines)

    def counters(self, backend: str, family: Family) -> dict[int, int]:
        """Packets by the line of the rule in the dump."""
        found = {}
        for number, line in enumerate(self.save(backend, family).decode().splitlines(), 1):
            counted = re.match(r"\[(\d+):\d+\] -A ", line)
            if counted:
                found[number] = int(counted[1])
        return found


def _tables(family: Family) -> str:
    return "iptables" if family == 4 else "ip6tables"


@contextmanager
def lab() -> Iterator[Lab]:
    """The namespaces, with the addresses of the recorded node1; gone afterwards."""
    needs("nsenter", "ip", "iptables-nft-restore", "iptables-legacy-restore", "conntrack", "nfacct")
    holder = subprocess.Popen(
        [*isolated("net", "mount").split(), "sh", "-c", "echo ready; exec sleep 3600"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"ready\n":
            assert holder.stderr is not None
            raise AssertionError(holder.stderr.read().decode())
        made = Lab(holder.pid)
        _wire(made)
        yield made
    finally:
        holder.kill()
        holder.wait()
        for stream in (holder.stdout, holder.stderr):
            if stream is not None:
                stream.close()


def _wire(made: Lab) -> None:
    # A /run of its own: for the names of namespaces and the xtables lock.
    made.script("mount -t tmpfs tmpfs /run; mkdir /run/netns; ip link set lo up")
    quiet = "sysctl -q -w net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
    quiet += " net.ipv6.conf.default.router_solicitations=0 net.ipv6.conf.default.autoconf=0"
    made.script(quiet)
    made.script("ip netns add outside; ip netns add pod")
    made.script(f"{quiet}; ip link set lo up", where="outside")
    made.script(f"{quiet}; ip link set lo up", where="pod")
    made.script(
        """
        sysctl -q -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.route_localnet=1
        sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
        ip link add eth0 type veth peer name wire netns outside
        ip link add cni0 type bridge mcast_snooping 0
        ip link add veth1 type veth peer name eth0 netns pod
        ip link set veth1 master cni0; ip link set eth0 up; ip link set cni0 up; ip link set veth1 up
        bridge link set dev veth1 hairpin on
        ip addr add 192.168.0.11/24 dev eth0; ip addr add 10.42.19.1/24 dev cni0
        ip addr add fd00:168::11/64 dev eth0 nodad; ip addr add fd00:42:19::1/64 dev cni0 nodad
        ip route add default via 192.168.0.1; ip route add 10.42.20.0/24 via 192.168.0.12
        ip route add default via fd00:168::1; ip route add fd00:42:20::/64 via fd00:168::12
        """
    )
    made.script(
        """
        ip link set wire up
        for a in 192.168.0.1/24 192.168.0.12/24; do ip addr add $a dev wire; done
        for a in fd00:168::1/64 fd00:168::12/64; do ip addr add $a dev wire nodad; done
        ip route add default via 192.168.0.11; ip route add default via fd00:168::11
        """,
        where="outside",
    )
    made.script(
        """
        ip link set eth0 up
        ip addr add 10.42.19.2/24 dev eth0; ip addr add fd00:42:19::2/64 dev eth0 nodad
        ip route add default via 10.42.19.1; ip route add default via fd00:42:19::1
        """,
        where="pod",
    )
    for where, dev in (("outside", "wire"), ("pod", "eth0")):
        # Whoever receives says nothing: a reply would count in the node's rules.
        made.script(
            """
            for t in iptables ip6tables; do
                $t-nft -t raw -A PREROUTING -p tcp -j DROP; $t-nft -t raw -A PREROUTING -p udp -j DROP
                $t-nft -t raw -A PREROUTING -p icmp -j DROP 2>/dev/null || true
            done
            ip6tables-nft -t raw -A PREROUTING -p icmpv6 --icmpv6-type echo-request -j DROP
            """,
            where=where,
        )
        made.macs[where] = _mac(made, dev, where)
    made.macs["eth0"], made.macs["cni0"] = _mac(made, "eth0"), _mac(made, "cni0")
    for address in ("192.168.0.1", "192.168.0.12", "fd00:168::1", "fd00:168::12"):
        made._neighbour(None, address, "eth0", made.macs["outside"])
    for address in [*(f"10.42.19.{n}" for n in range(2, 80)), *(f"fd00:42:19::{n:x}" for n in range(2, 20))]:
        made._neighbour(None, address, "cni0", made.macs["pod"])
    for address in ("192.168.0.11", "fd00:168::11"):
        made._neighbour("outside", address, "wire", made.macs["eth0"])
    for address in ("10.42.19.1", "fd00:42:19::1"):
        made._neighbour("pod", address, "eth0", made.macs["cni0"])
    # What the node itself would answer ends before any table sees it, and what is delivered to it
    # behind all tables: in a table of its own, which iptables-save does not print.
    made.run("nft", "-f", "-", stdin=_SILENCE)


_SILENCE = b"""
table inet silence {
    chain answers {
        type filter hook output priority -500
        icmp type destination-unreachable drop
        icmpv6 type destination-unreachable drop
        tcp flags & rst == rst drop
        icmp type echo-reply drop
        icmpv6 type echo-reply drop
    }
    chain delivered {
        type filter hook input priority 500
        meta l4proto { tcp, udp } drop
    }
}
"""


def _mac(made: Lab, dev: str, where: str | None = None) -> str:
    shown = re.search(rb'"address":"([0-9a-f:]+)"', made.run("ip", "-j", "link", "show", dev, where=where))
    assert shown is not None
    return shown[1].decode()
