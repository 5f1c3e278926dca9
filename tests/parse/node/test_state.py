"""A node's files to its data path: what tells how kube-proxy works there, and in which order."""

from __future__ import annotations

import json

import pytest

from kinspect.parse.node.state import read_node

_CHAINS = b"*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n"
_IPVS0 = json.dumps([{"ifname": "kube-ipvs0", "linkinfo": {"info_kind": "dummy"}, "addr_info": []}]).encode()
_HEAD = b"IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"
_SERVERS = _HEAD + b"TCP  0A2B0001:01BB rr\n  -> C0A8000B:192B      Masq    1      0          0\n"


@pytest.mark.parametrize(
    ("files", "path"),
    [
        pytest.param({"iptables-save.txt": _CHAINS}, "iptables", id="chains alone"),
        pytest.param(
            {"iptables-save.txt": _CHAINS, "ip-addr.json": _IPVS0, "ip-vs.txt": _SERVERS}, "ipvs", id="ipvs"
        ),
        pytest.param(
            {"iptables-save.txt": _CHAINS, "ip-addr.json": _IPVS0, "ip-vs.txt": _HEAD},
            "iptables",
            id="an interface left behind, and no virtual servers",
        ),
        pytest.param(
            {"iptables-save.txt": _CHAINS, "ip-addr.json": b"[]", "ip-vs.txt": _SERVERS},
            "iptables",
            id="virtual servers of somebody else, such as keepalived",
        ),
        pytest.param(
            {
                "iptables-save.txt": b"*nat\n:KUBE-SVC-X - [0:0]\nCOMMIT\n",
                "ip-addr.json": _IPVS0,
                "ip-vs.txt": _SERVERS,
            },
            "iptables",
            id="chains of services, whatever ipvs left",
        ),
        pytest.param(
            {
                "iptables-save.txt": _CHAINS,
                "proxy-mode.txt": b"nftables",
                "ip-addr.json": _IPVS0,
                "ip-vs.txt": _SERVERS,
            },
            "nftables",
            id="kube-proxy's own word first",
        ),
    ],
)
def test_the_data_path(files: dict[str, bytes], path: str) -> None:
    assert read_node("node1", files).data_path == path
