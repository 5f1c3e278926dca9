"""A snapshot of a large cluster, made up: what kube-proxy would write for so many services.

Every fifth service has a NodePort, endpoints lie on two nodes in turn; more nodes may be asked for,
whose rules differ from the first's in a few chains only.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from base64 import b32encode
from pathlib import Path
from typing import Any

NODES = ("10.42.0.0/16", "10.52.0.0/16")


def write(folder: Path, services: int, endpoints: int, nodes: int = 2) -> Path:
    """Write the snapshot; gives the folder."""
    (folder / "api").mkdir(parents=True)
    named = [f"node{number + 1}" for number in range(nodes)]
    _json(
        folder / "api" / "nodes.json", "NodeList", [_node(number, name) for number, name in enumerate(named)]
    )
    _json(folder / "api" / "services.json", "ServiceList", [_service(number) for number in range(services)])
    _json(
        folder / "api" / "endpointslices.json",
        "EndpointSliceList",
        [_slice(n, endpoints) for n in range(services)],
    )
    _json(folder / "api" / "pods.json", "PodList", [])
    for number, name in enumerate(named):
        place = folder / "nodes" / name
        place.mkdir(parents=True)
        rules = _rules(services, endpoints, skipped=number if number > 1 else None)
        (place / "iptables-save.txt.gz").write_bytes(gzip.compress(rules.encode(), 6))
        for file, content in _host(number).items():
            (place / file).write_text(json.dumps(content))
        (place / "sysctl.txt").write_text("net.ipv4.ip_forward = 1\nnet.ipv4.conf.all.route_localnet = 1\n")
    return folder


def _json(path: Path, kind: str, items: list[dict[str, Any]]) -> None:
    path.write_text(
        json.dumps({"kind": kind, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items})
    )


def _node(number: int, name: str) -> dict[str, Any]:
    network = NODES[number] if number < 2 else f"10.{60 + number}.0.0/16"
    return {
        "metadata": {"name": name},
        "spec": {"podCIDR": network, "podCIDRs": [network]},
        "status": {"addresses": [{"type": "InternalIP", "address": _own(number)}]},
    }


def _own(number: int) -> str:
    return f"192.168.0.{11 + number}"


def _service(number: int) -> dict[str, Any]:
    port: dict[str, Any] = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}
    if number % 5 == 0:
        port["nodePort"] = _node_port(number)
    kind = "NodePort" if number % 5 == 0 else "ClusterIP"
    spec = {
        "type": kind, "clusterIP": _cluster_ip(number), "clusterIPs": [_cluster_ip(number)], "ports": [port],
        "ipFamilies": ["IPv4"], "selector": {"app": f"svc-{number:05}"}, "internalTrafficPolicy": "Cluster",
        "sessionAffinity": "None",
    }  # fmt: skip
    if kind == "NodePort":
        spec["externalTrafficPolicy"] = "Cluster"
    return {"metadata": {"namespace": "scale", "name": f"svc-{number:05}"}, "spec": spec}


def _slice(number: int, endpoints: int) -> dict[str, Any]:
    listed = [
        {
            "addresses": [_endpoint(number, each, endpoints)],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"node{each % 2 + 1}",
            "targetRef": {"kind": "Pod", "namespace": "scale", "name": f"svc-{number:05}-{each}"},
        }
        for each in range(endpoints)
    ]
    labels = {"kubernetes.io/service-name": f"svc-{number:05}"}
    return {
        "metadata": {"namespace": "scale", "name": f"svc-{number:05}-x", "labels": labels},
        "addressType": "IPv4",
        "endpoints": listed,
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def _cluster_ip(number: int) -> str:
    return f"10.43.{number // 250 + 1}.{number % 250 + 2}"


def _node_port(number: int) -> int:
    return 30000 + number // 5


def _endpoint(number: int, each: int, endpoints: int) -> str:
    at = number * ((endpoints + 1) // 2) + each // 2
    return f"{NODES[each % 2].rsplit('.', 2)[0]}.{at // 250}.{at % 250 + 2}"


def _chain(kind: str, *parts: str) -> str:
    """The name that kube-proxy would give it (proxier.go, portProtoHash)."""
    return f"KUBE-{kind}-{b32encode(hashlib.sha256(''.join(parts).encode()).digest()).decode()[:16]}"


_FILTER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-SERVICES - [0:0]
-A INPUT -j KUBE-FIREWALL
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -j KUBE-FIREWALL
-A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment "block incoming localnet connections" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
COMMIT
"""
_NAT = """-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
-A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
"""


def _rules(services: int, endpoints: int, skipped: int | None) -> str:
    """A node's dump; ``skipped``: a service that this one sends to one endpoint only."""
    chains = ["KUBE-MARK-MASQ", "KUBE-NODEPORTS", "KUBE-POSTROUTING", "KUBE-SERVICES"]
    rules: list[str] = []
    for number in range(services):
        name, address = f"scale/svc-{number:05}:http", _cluster_ip(number)
        service, external = _chain("SVC", name, "tcp"), _chain("EXT", name, "tcp")
        match = f'-d {address}/32 -p tcp -m comment --comment "{name} cluster IP" -m tcp --dport 80'
        chains.append(service)
        rules.append(f"-A KUBE-SERVICES {match} -j {service}")
        if number % 5 == 0:
            chains.append(external)
            rules.append(
                f'-A KUBE-NODEPORTS -p tcp -m comment --comment "{name}" -m tcp --dport {_node_port(number)} -j {external}'
            )
            rules.append(
                f'-A {external} -m comment --comment "masquerade traffic for {name} external destinations" -j KUBE-MARK-MASQ'
            )
            rules.append(f"-A {external} -j {service}")
        rules.append(f"-A {service} ! -s 10.32.0.0/11 {match} -j KUBE-MARK-MASQ")
        used = range(1 if number == skipped else endpoints)
        for each in used:
            to = f"{_endpoint(number, each, endpoints)}:8080"
            endpoint = _chain("SEP", name, "tcp", to)
            left = len(used) - each
            draw = f" -m statistic --mode random --probability {_printed(left)}" if left > 1 else ""
            chains.append(endpoint)
            rules.append(f'-A {service} -m comment --comment "{name} -> {to}"{draw} -j {endpoint}')
            rules.append(
                f'-A {endpoint} -s {to.split(":")[0]}/32 -m comment --comment "{name}" -j KUBE-MARK-MASQ'
            )
            rules.append(
                f'-A {endpoint} -p tcp -m comment --comment "{name}" -m tcp -j DNAT --to-destination {to}'
            )
    rules.append("-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS")
    declared = [f":{chain} - [0:0]" for chain in sorted(chains)]
    builtin = [f":{chain} ACCEPT [0:0]" for chain in ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")]
    # iptables-save prints chains in order; the last rule of KUBE-SERVICES stays last.
    ordered = sorted(rules, key=lambda rule: rule.split(" ", 2)[1])
    return "\n".join([f"{_FILTER}*nat", *builtin, *declared, f"{_NAT}{chr(10).join(ordered)}", "COMMIT", ""])


def _printed(left: int) -> str:
    """One in so many, as iptables prints what the kernel keeps of it."""
    return f"{round((1 << 31) / left) / (1 << 31):.11f}"


def _host(number: int) -> dict[str, list[dict[str, Any]]]:
    network = NODES[number] if number < 2 else f"10.{60 + number}.0.0/16"
    bridge = f"{network.rsplit('.', 1)[0]}.1"
    own = _own(number)

    def link(name: str, address: str, size: int, index: int) -> dict[str, Any]:
        return {
            "ifindex": index, "ifname": name, "flags": ["UP"], "link_type": "loopback" if name == "lo" else "ether",
            "addr_info": [{"family": "inet", "local": address, "prefixlen": size, "scope": "host" if name == "lo" else "global"}],
        }  # fmt: skip

    routes: list[dict[str, Any]] = [
        {"dst": "default", "gateway": "192.168.0.1", "dev": "eth0"},
        {"dst": "192.168.0.0/24", "dev": "eth0", "prefsrc": own},
        {"dst": network, "dev": "cni0", "prefsrc": bridge},
    ]
    routes += [
        {"dst": other, "gateway": _own(at), "dev": "eth0"} for at, other in enumerate(NODES) if at != number
    ]
    for address, dev in ((own, "eth0"), (bridge, "cni0"), ("127.0.0.1", "lo"), ("127.0.0.0/8", "lo")):
        routes.append({"type": "local", "dst": address, "dev": dev, "table": "local", "scope": "host"})
    return {
        "ip-addr.json": [
            link("lo", "127.0.0.1", 8, 1),
            link("eth0", own, 24, 2),
            link("cni0", bridge, 16, 3),
        ],
        "ip-route.json": routes,
        "ip-rule.json": [],
    }
