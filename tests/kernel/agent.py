"""Runs inside a network namespace: wires a small node, sends packets into it, tells what became of them.

::

    wire0 ── eth0 [node] cni0 ── wire1
                    eth1 ── wire2

The wires' other ends are in a namespace without addresses, so nobody answers. What the node
delivers or sends on is reported behind all tables, by nft chains that log and drop it: nothing
leaves, no connection is remembered, and each packet sent is one packet in the counters.
A stand-alone script: one request a line of JSON on standard input, one answer a line on standard output.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLONE_NEWNET = 0x40000000
LINKS = ("eth0", "cni0", "eth1")
DELIVERED, SENT = 1, 2  # log groups

TOPOLOGY = """
ip addr add 192.0.2.1/24 brd + dev eth0
ip addr add 192.0.2.2/24 brd + dev eth0
ip addr add 198.18.5.1/24 dev eth0
ip addr add 10.1.0.1/24 brd + dev cni0
ip addr add fd00:2::1/64 dev eth0 nodad
ip addr add fd00:5::1/64 dev eth0 nodad
ip addr add 2001:db8:5::1/64 dev eth0 nodad
ip addr add fd00:1::1/64 dev cni0 nodad
ip route add default via 192.0.2.254
ip route add 10.2.0.0/24 via 198.18.5.254
ip route add 10.3.0.0/24 dev eth1
ip route add 10.4.0.0/24 via 192.0.2.254 src 192.0.2.2
ip route add blackhole 10.66.0.0/24
ip route add unreachable 10.67.0.0/24
ip route add prohibit 10.68.0.0/24
ip route add default dev eth1 table 100
ip route add 10.2.0.0/24 dev eth1 table 101
ip route add throw 10.3.0.0/24 table 101
ip rule add fwmark 0x40/0x40 lookup 100 priority 100
ip rule add from 10.1.0.9 lookup 101 priority 101
ip rule add iif cni0 fwmark 0x2/0x3 lookup 101 priority 102
ip -6 route add default via fd00:2::fe
ip -6 route add fd00:22::/64 via fd00:5::fe
ip -6 route add fd00:3::/64 dev eth1
ip -6 route add blackhole fd00:66::/64
ip -6 route add unreachable fd00:67::/64
ip -6 route add prohibit fd00:68::/64
ip -6 route add default dev eth1 table 100
ip -6 route add fd00:22::/64 dev eth1 table 101
ip -6 rule add fwmark 0x40/0x40 lookup 100 priority 100
ip -6 rule add from fd00:1::9 lookup 101 priority 101
"""

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    **{f"net/ipv4/conf/{link}/rp_filter": "0" for link in LINKS},
}

# Packets without a process (answers to what is refused, neighbour discovery) end before any table.
# Asking for ct state turns connection tracking on: the kernel has it off, and the nat table is not consulted,
# where nothing in a namespace needs it.
OBSERVE = """
table inet observe {
    chain own { type filter hook output priority -500; meta skuid 0-4294967294 accept; drop; }
    chain delivered { type filter hook input priority 1000; ct state new counter; log group 1; drop; }
    chain sent { type filter hook postrouting priority 1000; oifname "lo" accept; log group 2; drop; }
}
"""

# Forget all connections, as conntrack -F: subsystem 1 (CTNETLINK), message 2 (DELETE).
FORGET = struct.pack("=IHHIIBBH", 20, 1 << 8 | 2, 5, 1, 0, 0, 0, 0)

libc = ctypes.CDLL(None, use_errno=True)


class Agent:
    """The node's namespace, and a socket on each wire that leads to it."""

    def __init__(self) -> None:
        node = os.open("/proc/self/ns/net", os.O_RDONLY)
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        outside = os.open("/proc/self/ns/net", os.O_RDONLY)
        _sysctl("net/ipv6/conf/default/disable_ipv6", "1")
        if libc.setns(node, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        _shell("ip link set lo up")
        for key in ("accept_dad", "autoconf", "accept_ra", "router_solicitations"):
            _sysctl(f"net/ipv6/conf/default/{key}", "0")
        for number, link in enumerate(LINKS):
            _shell(
                f"ip link add {link} type veth peer name wire{number}; "
                f"ip link set wire{number} netns /proc/{os.getpid()}/fd/{outside}; ip link set {link} up"
            )
        libc.setns(outside, CLONE_NEWNET)
        for number in range(len(LINKS)):
            _shell(f"ip link set wire{number} up")
        self.wires = {link: _wire(f"wire{number}") for number, link in enumerate(LINKS)}
        libc.setns(node, CLONE_NEWNET)
        _shell(TOPOLOGY)
        for key, value in SYSCTLS.items():
            _sysctl(key, value)
        _shell("nft -f -", OBSERVE)
        self.macs = {link: _mac(link) for link in LINKS}
        self.names = dict(socket.if_nameindex())
        self.logs = {group: _log_socket(group) for group in (DELIVERED, SENT)}
        self.raw: dict[tuple[int, str], socket.socket] = {}
        self.conntrack = _netlink()

    def send(self, packets: list[tuple[str, str]]) -> list[dict[str, Any]]:
        """Send packets (where, hex); what was delivered or sent on, and what was refused at once."""
        seen: list[dict[str, Any]] = []
        for number, (where, text) in enumerate(packets):
            data = bytes.fromhex(text)
            try:
                self._send_one(where, data)
            except OSError as error:
                seen.append({"refused": error.strerror, "number": number})
            seen.extend(self._seen())
            self.conntrack.send(FORGET)
            self.conntrack.recv(4096)
            for entries in Path("/proc/net/xt_recent").glob("*"):
                entries.write_text("/")  # nobody is on the list any more
        return seen

    def _send_one(self, where: str, data: bytes) -> None:
        version = data[0] >> 4
        if where != "here":
            kind = b"\x08\x00" if version == 4 else b"\x86\xdd"
            self.wires[where].send(self.macs[where] + b"\x02\0\0\0\0\x01" + kind + data)
            return
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        src, dst = (data[12:16], data[16:20]) if version == 4 else (data[8:24], data[24:40])
        source = socket.inet_ntop(family, src)
        if (version, source) not in self.raw:
            made = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            made.bind((source, 0))
            self.raw[version, source] = made
        self.raw[version, source].sendto(data, (socket.inet_ntop(family, dst), 0))

    def _seen(self) -> Iterator[dict[str, Any]]:
        for group, log in self.logs.items():
            while True:
                try:
                    data = log.recv(65536)
                except BlockingIOError:
                    break
                for attributes in _messages(data):
                    yield {
                        "way": "delivered" if group == DELIVERED else "sent",
                        "in": self.names.get(_number(attributes.get(4))),
                        "out": self.names.get(_number(attributes.get(5))),
                        "mark": _number(attributes.get(2)),
                        "data": attributes.get(9, b"").hex(),
                    }

    def answer(self, request: dict[str, Any]) -> Any:
        """One request."""
        match request["do"]:
            case "send":
                return self.send(request["packets"])
            case "run":
                done = subprocess.run(
                    request["command"], input=request["stdin"].encode(), capture_output=True, check=False
                )
                return [done.returncode, done.stdout.decode(), done.stderr.decode()]
            case "sysctl":
                for key, value in request["values"].items():
                    _sysctl(key, value)
                return None
            case other:
                raise ValueError(other)


def _sysctl(key: str, value: str) -> None:
    Path("/proc/sys", key).write_text(value)


def _shell(text: str, stdin: str = "") -> None:
    done = subprocess.run(["sh", "-e", "-c", text], input=stdin.encode(), capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{text}: {done.stderr.decode()}")


def _wire(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.bind((name, 0))
    return made


def _mac(link: str) -> bytes:
    shown = subprocess.run(["ip", "-j", "link", "show", link], capture_output=True, check=True).stdout
    return bytes.fromhex(json.loads(shown)[0]["address"].replace(":", ""))


def _number(data: bytes | None) -> int:
    return int.from_bytes(data or b"\0", "big")


def _netlink() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)  # NETLINK_NETFILTER
    made.bind((0, 0))
    return made


def _log_socket(group: int) -> socket.socket:
    """A netlink socket that gets what ``log group`` logs (linux/netfilter/nfnetlink_log.h)."""
    made = _netlink()
    made.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    bind = _attribute(1, b"\x01")  # NFULA_CFG_CMD: bind
    copy = _attribute(2, struct.pack(">IBB", 0xFFFF, 2, 0))  # NFULA_CFG_MODE: copy the packet
    at_once = _attribute(5, struct.pack(">I", 1))  # NFULA_CFG_QTHRESH
    for attributes in (bind, copy + at_once):
        body = struct.pack(">BBH", 0, 0, group) + attributes
        # Type: subsystem 4 (ULOG), message 1 (CONFIG); flags: request, acknowledge.
        made.send(struct.pack("=IHHII", 16 + len(body), 4 << 8 | 1, 5, 1, 0) + body)
        (error,) = struct.unpack_from("=i", made.recv(4096), 16)
        if error:
            raise OSError(-error, "nfnetlink_log")
    made.setblocking(False)
    return made


def _attribute(kind: int, data: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(data), kind) + data + b"\0" * (-len(data) % 4)


def _messages(data: bytes) -> Iterator[dict[int, bytes]]:
    at = 0
    while at + 16 <= len(data):
        length, kind = struct.unpack_from("=IH", data, at)
        if kind == 4 << 8:  # a packet
            attributes, position = {}, at + 20
            while position + 4 <= at + length:
                size, name = struct.unpack_from("=HH", data, position)
                attributes[name & 0x7FFF] = data[position + 4 : position + size]
                position += (size + 3) & ~3
            yield attributes
        at += (length + 3) & ~3


def main() -> None:
    """Answer until standard input ends."""
    agent = Agent()
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        print(json.dumps(agent.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
