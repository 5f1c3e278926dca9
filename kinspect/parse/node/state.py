"""A node's files to its rules, its host and its data path."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from kinspect.kubeproxy.fragments import Fragments
from kinspect.model.host import Host
from kinspect.model.node import DataPath, NodeState
from kinspect.model.packet import Family
from kinspect.model.rules import IptablesBackend
from kinspect.parse.node.host import read_host
from kinspect.parse.rules.dump import Dump, read_dump
from kinspect.snapshot import types as names
from kinspect.snapshot.types import Files

_DUMPS: Final[dict[Family, tuple[tuple[str, IptablesBackend | None], ...]]] = {
    4: ((names.IPTABLES, None), (names.IPTABLES_LEGACY, "legacy"), (names.IPTABLES_NFT, "nft")),
    6: ((names.IP6TABLES, None), (names.IP6TABLES_LEGACY, "legacy"), (names.IP6TABLES_NFT, "nft")),
}


def read_node(
    name: str,
    files: Files,
    node_addresses: Iterable[str] = (),
    *,
    table: str | None = None,
    chain: str | None = None,
    paths: Mapping[tuple[str, str], str] | None = None,
) -> NodeState:
    """A node's state. Raises SnapshotError and RulesError if a file cannot be read.

    ``table`` is that of a fragment which does not name it, ``chain`` that of a listing's lines without
    a header; ``paths`` has the names of files that users saved by hand.
    """
    host, notes = read_host(name, files, node_addresses)
    rulesets: dict[Family, Sequence[Dump]] = {}
    for family, dumps in _DUMPS.items():
        backends = dict(dumps)
        found = []
        for file in rules_files(files, family):
            named = (paths or {}).get((name, file))
            found.append(
                read_dump(
                    files[file],
                    source=named or f"{name}/{file}",
                    family=family,
                    backend=backends[file],
                    table=table,
                    chain=chain,
                    by_hand=named is not None,
                    known=Fragments(),
                )
            )
        rulesets[family] = found
    path, proof = _data_path(files, host, [dump for dumps in rulesets.values() for dump in dumps])
    notes += [note for dumps in rulesets.values() for dump in dumps for note in dump.notes]
    answers = bool(files[names.PROXY_MODE].strip()) if names.PROXY_MODE in files else None
    return NodeState(name, host, rulesets, path, proof, tuple(notes), answers)


def rules_files(files: Files, family: Family) -> list[str]:
    """The files that a family's rules are read from, one for each back end."""
    dumps = _DUMPS[family]
    # Dumps that name their back end come before that of the node's default iptables.
    both = any(file in files for file, backend in dumps if backend)
    return [file for file, backend in dumps if file in files and not (backend is None and both)]


def _data_path(files: Files, host: Host, dumps: Sequence[Dump]) -> tuple[DataPath, str]:
    """How kube-proxy works on the node, and the evidence.

    kube-proxy's status port (/proxyMode) comes first, then the traces that each mode
    leaves: chains, nft tables named kube-proxy, an ipset named KUBE-CLUSTER-IP, or the
    interface kube-ipvs0 together with virtual servers in the kernel.
    """
    said = files.get(names.PROXY_MODE, b"").decode("utf-8", "replace").strip().lower()
    if said == "iptables":
        return "iptables", "kube-proxy says so"
    if said == "ipvs":
        return "ipvs", "kube-proxy says so"
    if said == "nftables":
        return "nftables", "kube-proxy says so"
    if any(dump.mentions("KUBE-SVC-") for dump in dumps):
        return "iptables", "its chains KUBE-SVC-… are there"
    if re.search(rb"^table ip6? kube-proxy\b", files.get(names.NFT_TABLES, b""), re.M):
        return "nftables", "there are nft tables named kube-proxy"
    if re.search(rb"^create KUBE-CLUSTER-IP ", files.get(names.IPSET, b""), re.M) or any(
        dump.mentions("--match-set KUBE-CLUSTER-IP ") for dump in dumps
    ):
        return "ipvs", "there is an ipset KUBE-CLUSTER-IP"
    if "kube-ipvs0" in (host.links or ()) and re.search(
        rb"^(TCP|UDP|SCTP|FWM) ", files.get(names.IPVS, b""), re.M
    ):
        return "ipvs", "there are an interface kube-ipvs0 and virtual servers (/proc/net/ip_vs)"
    if any(dump.mentions("KUBE-SERVICES") for dump in dumps):
        return "iptables", "its chain KUBE-SERVICES is there, but empty of services"
    if any(dump.mentions("CILIUM_") for dump in dumps):
        return "none", "there are chains of Cilium and none of kube-proxy"
    return "none" if dumps else "unknown", "there are no chains of kube-proxy"
