"""Connections that real sockets hold, in the kernel's own tables: three namespaces, one of them the node.

``client`` and ``pod`` are joined by ``node``, which has kube-proxy's kind of rules for one service. The
tables are read by the tools that a node has, and put into a snapshot with the API's objects.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import Ran, kinspect
from tests.needs import needs

pytestmark = pytest.mark.kernel

CLIENT, NODE, POD, NEXT = "192.0.2.1", "192.0.2.254", "10.42.2.5", "10.42.2.6"
RULES = """*nat
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SVC-A - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A OUTPUT -j KUBE-SERVICES
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
{sends}COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT
"""

# What runs in a namespace: it answers what comes, or opens what it is told to, line by line.
AGENT = r"""
import json, select, socket, sys
held = {}
def listen(kind, address, port):
    s = socket.socket(socket.AF_INET, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((address, port))
    return s
servers = []
for address, port in json.loads(sys.argv[1]):
    tcp = listen(socket.SOCK_STREAM, address, port); tcp.listen(500); servers += [tcp, listen(socket.SOCK_DGRAM, address, port)]
print("ready", flush=True)
open_ = []
while True:
    ready, _, _ = select.select([sys.stdin, *servers, *open_], [], [])
    for s in ready:
        if s is sys.stdin:
            line = sys.stdin.readline()
            if not line: sys.exit()
            do, name, *rest = json.loads(line)
            if do in ("tcp", "udp"):
                kind = socket.SOCK_STREAM if do == "tcp" else socket.SOCK_DGRAM
                held[name] = c = socket.socket(socket.AF_INET, kind); c.settimeout(3); c.connect(tuple(rest))
            if do != "close":
                try:
                    held[name].send(b"x"); answer = held[name].recv(9).decode()
                except OSError as error: answer = type(error).__name__
                print(json.dumps([answer, held[name].getsockname()[1]]), flush=True)
            else:
                held.pop(name).close(); print("closed", flush=True)
        elif s in servers and s.type == socket.SOCK_STREAM: open_.append(s.accept()[0])
        elif s in servers:
            data, who = s.recvfrom(9); s.sendto(b"udp", who)
        else:
            try: data = s.recv(9)
            except OSError: data = b""
            if data: s.send(b"tcp")
            else: open_.remove(s); s.close()
"""


class Place:
    """A namespace, entered by a process that keeps it."""

    def __init__(self, stack: ExitStack) -> None:
        self.keeper = stack.enter_context(subprocess.Popen(["unshare", "-n", "sleep", "600"]))
        stack.callback(self.keeper.kill)
        while Path(f"/proc/{self.keeper.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)
        self.enter = ["nsenter", "-n", "-t", str(self.keeper.pid)]
        self.agent: subprocess.Popen[str] | None = None
        self.run("ip link set lo up")

    def run(self, command: str, stdin: str = "") -> str:
        done = subprocess.run(
            [*self.enter, *command.split()], input=stdin, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def start(self, stack: ExitStack, *listening: tuple[str, int]) -> None:
        words = [*self.enter, sys.executable, "-c", AGENT, json.dumps(listening)]
        self.agent = stack.enter_context(
            subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self.agent.kill)
        assert self.agent.stdout is not None
        assert self.agent.stdout.readline() == "ready\n"

    def tell(self, *words: Any) -> Any:
        assert self.agent is not None
        assert self.agent.stdin is not None
        assert self.agent.stdout is not None
        self.agent.stdin.write(json.dumps(words) + "\n")
        self.agent.stdin.flush()
        answer = self.agent.stdout.readline().strip()
        return json.loads(answer) if answer.startswith("[") else answer


class Lab:
    """The three of them, and the snapshot that a node's tools and the API give."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.folder = folder
        self.client, self.node, self.pod = (Place(stack) for _ in range(3))
        for place, name, own, gateway in (
            (self.client, "c", f"{CLIENT}/24", NODE),
            (self.pod, "p", f"{POD}/24", "10.42.2.1"),
        ):
            self.node.run(f"ip link add {name} type veth peer name eth0 netns {place.keeper.pid}")
            place.run(f"ip addr add {own} dev eth0")
            place.run("ip link set eth0 up")
            self.node.run(f"ip link set {name} up")
            self.node.run(f"ip addr add {gateway}/24 dev {name}")
            place.run(f"ip route add default via {gateway}")
        self.pod.run(f"ip addr add {NEXT}/24 dev eth0")
        self.node.run(
            "sysctl -qw net.ipv4.ip_forward=1 net.netfilter.nf_conntrack_udp_timeout=5 net.netfilter.nf_conntrack_tcp_timeout_time_wait=2"
        )
        self.endpoints([POD])
        self.client.start(stack)
        self.pod.start(stack, (POD, 8080), (NEXT, 8080), (POD, 53), (NEXT, 53))

    def endpoints(self, addresses: list[str], *, rules: bool = True) -> None:
        """Who the service's endpoints are; ``rules``: the node's too."""
        self.addresses = addresses
        if rules:
            sends = "".join(
                f"-A KUBE-NODEPORTS -p {protocol} -m {protocol} --dport {front} -j DNAT --to-destination {addresses[0]}:{port}\n"
                for protocol, front, port in (("tcp", 31000, 8080), ("udp", 31053, 53))
                if addresses
            )
            self.node.run("iptables-nft-restore", RULES.format(sends=sends))

    def snapshot(self) -> Path:
        node = self.folder / "nodes/node1"
        node.mkdir(parents=True, exist_ok=True)
        commands = {
            "iptables-save.txt": "iptables-nft-save -c", "ip-addr.json": "ip -j addr", "ip-route.json": "ip -j route show table all",
            "conntrack.txt": "conntrack -L -f ipv4", "conntrack-6.txt": "conntrack -L -f ipv6", "sysctl.txt": "sysctl net.netfilter net.ipv4.ip_forward",
        }  # fmt: skip
        for file, command in commands.items():
            (node / file).write_text(self.node.run(command))
        ports = [
            {"name": "web", "protocol": "TCP", "port": 80, "nodePort": 31000},
            {"name": "dns", "protocol": "UDP", "port": 53, "nodePort": 31053},
        ]
        meta = {"name": "x", "namespace": "default"}
        api: dict[str, list[dict[str, Any]]] = {
            "nodes": [
                {"metadata": {"name": "node1"}, "spec": {}, "status": {"addresses": [{"type": "InternalIP", "address": NODE}]}},
            ],
            "services": [{"metadata": meta, "spec": {"type": "NodePort", "clusterIP": "10.43.0.9", "ports": ports}}],
            "endpointslices": [
                {
                    "metadata": {**meta, "labels": {"kubernetes.io/service-name": "x"}},
                    "endpoints": [{"addresses": [a], "nodeName": "node1", "targetRef": {"kind": "Pod", "name": f"pod-{a}", "namespace": "default"}} for a in self.addresses],
                    "ports": [{"name": "web", "protocol": "TCP", "port": 8080}, {"name": "dns", "protocol": "UDP", "port": 53}],
                }
            ],
            "pods": [
                {"metadata": {"name": f"pod-{a}", "namespace": "default"}, "spec": {"nodeName": "node1"}, "status": {"podIP": a, "phase": "Running"}}
                for a in (POD, NEXT)
            ],
        }  # fmt: skip
        (self.folder / "api").mkdir(exist_ok=True)
        for kind, items in api.items():
            (self.folder / f"api/{kind}.json").write_text(json.dumps({"items": items}))
        return self.folder

    def flows(self, *argv: str) -> list[dict[str, Any]]:
        ran = kinspect("flows", *argv, "--snapshot", str(self.snapshot()), "-o", "json")
        assert ran.code == 0, ran.err
        found: list[dict[str, Any]] = ran.json["flows"]
        return found

    def gate(self) -> Ran:
        return kinspect(
            "check", "no-traffic", "--to", POD, "--established", "--snapshot", str(self.snapshot())
        )


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    needs("unshare", "nsenter", "ip", "iptables-nft-restore", "conntrack", "sysctl")
    with ExitStack() as stack:
        yield Lab(stack, tmp_path / "snapshot")


def test_the_gate_turns_with_the_last_connection(lab: Lab) -> None:
    ports = {n: lab.client.tell("tcp", n, NODE, 31000)[1] for n in range(5)}
    found = lab.flows("--to", POD)
    assert {f["sport"] for f in found} == set(ports.values())
    assert {(f["state"], f["to"], f["via"], f["stale"]) for f in found} == {
        ("ESTABLISHED", f"{POD}:8080", "nodeport", None)
    }
    assert all(f["idle"] in (0, 1, 2, 3) or f["idle"] is None for f in found)
    lab.endpoints([NEXT])  # the pod leaves the service: rules and API follow, connections stay
    stale = lab.flows("--stale")
    assert {(f["sport"], f["stale"]) for f in stale} == {(port, "endpoint-gone") for port in ports.values()}
    for n in ports:
        assert lab.client.tell("send", n)[0] == "tcp", "it is really alive"
        assert lab.gate().code == 1
        assert lab.client.tell("close", n) == "closed"
        limit = time.monotonic() + 10
        while [
            f for f in lab.flows() if f["sport"] == ports[n] and not f["closing"]
        ] and time.monotonic() < limit:
            time.sleep(0.1)
    ran = lab.gate()
    assert ran.code == 0, ran.out


def test_rules_that_changed_before_the_api_make_it_stale_too(lab: Lab) -> None:
    lab.client.tell("tcp", 0, NODE, 31000)
    lab.endpoints([NEXT])
    lab.endpoints([POD], rules=False)
    assert {f["stale"] for f in lab.flows("--stale")} == {"not-by-rules"}


def test_a_udp_flow_stays_with_a_pod_that_is_gone_until_it_expires(lab: Lab) -> None:
    answer, port = lab.client.tell("udp", 0, NODE, 31053)
    assert answer == "udp"
    lab.endpoints([NEXT])
    (found,) = lab.flows("--stale")
    assert (found["sport"], found["to"], found["stale"], found["protocol"]) == (
        port,
        f"{POD}:53",
        "endpoint-gone",
        "udp",
    )
    assert found["idle"] is not None
    assert lab.gate().code == 1
    limit = time.monotonic() + 60
    while lab.gate().code == 1 and time.monotonic() < limit:
        time.sleep(0.5)
    assert lab.gate().code == 0


def test_a_udp_flow_that_began_before_there_were_rules_goes_nowhere(lab: Lab) -> None:
    lab.endpoints([])
    sender = [
        *lab.client.enter,
        sys.executable,
        "-c",
        "import socket; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 4444)); s.sendto(b'x', ('192.0.2.254', 31053))",
    ]
    subprocess.run(sender, check=True)
    lab.endpoints([POD])
    subprocess.run(sender, check=True)
    (found,) = [f for f in lab.flows("--stale") if f["sport"] == 4444]
    assert (found["stale"], found["to"], found["replied"]) == ("untranslated", f"{NODE}:31053", False)
