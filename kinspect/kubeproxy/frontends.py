"""The services that a node's rules know, by the comments that kube-proxy gives its rules.

``default/web:http cluster IP``, ``… loadbalancer IP``, ``… external IP``, ``… has no endpoints``; a
NodePort's comment is the name alone. Source: pkg/proxy/iptables/proxier.go. A large cluster's
kube-proxy leaves comments out of the chains of endpoints, but not out of these rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Final

from kinspect.kubeproxy import names
from kinspect.model.answer import Via
from kinspect.model.packet import PROTOCOLS, Address, read_address
from kinspect.model.rules import ChainName, Ruleset, TableName

_COMMENT: Final = re.compile(
    r'--comment "(?P<space>[a-z0-9.-]+)/(?P<name>[a-z0-9.-]+)(?::(?P<port>[a-z0-9.-]*))?(?P<what>[^"]*)"'
)
_BARE: Final = re.compile(
    r"--comment (?P<space>[a-z0-9.-]+)/(?P<name>[a-z0-9.-]+)(?::(?P<port>[a-z0-9.-]*))?(?P<what>)(?=\s|$)"
)
_DESTINATION: Final = re.compile(r" -d ([0-9a-fA-F.:]+)(?:/\d+)?(?= )")
_PORT: Final = re.compile(r" -p (\w+) .*--dport (\d+)(?= |$)")
_PODS: Final = re.compile(r" ! -s (\S+) -d \S+ .*cluster IP\" .*-j KUBE-MARK-MASQ")
_WAYS: Final[tuple[tuple[str, Via], ...]] = (
    ("cluster IP", "clusterip"),
    ("loadbalancer IP", "loadbalancer"),
    ("external IP", "externalip"),
)
_CHAINS: Final[tuple[tuple[TableName, ChainName], ...]] = (
    (names.NAT, names.SERVICES),
    (names.NAT, names.NODEPORTS),
    (names.FILTER, names.SERVICES),
    (names.FILTER, names.EXTERNAL_SERVICES),
)


@dataclass(frozen=True, slots=True)
class Frontend:
    """A way into a service that rules know. ``address`` is None for a NodePort."""

    namespace: str
    service: str
    port_name: str
    via: Via
    address: Address | None
    port: int
    protocol: int

    def __str__(self) -> str:
        way = {
            "clusterip": "cluster IP",
            "nodeport": "NodePort",
            "loadbalancer": "load balancer",
            "externalip": "external IP",
        }[self.via]
        if self.address is None:
            return f"{way} {self.port}"
        host = str(self.address) if self.address.version == 4 else f"[{self.address}]"
        return f"{way} {host}:{self.port}"


def frontends(rules: Ruleset) -> list[Frontend]:
    """All ways in that the rules of kube-proxy's chains name, each once."""
    found: dict[Frontend, None] = {}
    for table, name in _CHAINS:
        chain = rules.chain(table, name)
        for rule in chain.rules() if chain is not None else ():
            frontend = _frontend(rule.text, name)
            if frontend is not None:
                found[frontend] = None
    return list(found)


def pod_network(rules: Ruleset) -> str | None:
    """The network that kube-proxy takes for the pods' (--cluster-cidr), as its rules have it."""
    chain = rules.chain(names.NAT, names.SERVICES)
    for chain_rule in _to_services(rules) if chain is not None else ():
        found = _PODS.search(chain_rule)
        if found is not None:
            try:
                return str(ip_network(found[1], strict=False))
            except ValueError:
                return None
    return None


def _to_services(rules: Ruleset) -> Iterator[str]:
    """Rules that masquerade what does not come from pods: in KUBE-SERVICES, since 1.22 in KUBE-SVC-…."""
    seen: list[Sequence[str]] = []
    chain = rules.chain(names.NAT, names.SERVICES)
    for rule in chain.rules() if chain is not None else ():
        yield rule.text
        target = rule.target_text.rpartition(" ")[2]
        if target.startswith(names.SERVICE) and len(seen) < 20:
            own = rules.chain(names.NAT, ChainName(target))
            texts = [each.text for each in own.rules()] if own is not None else []
            seen.append(texts)
            yield from texts


def _frontend(text: str, chain: ChainName) -> Frontend | None:
    comment = _COMMENT.search(text) or _BARE.search(text)
    port = _PORT.search(text)
    if comment is None or port is None or port[1] not in PROTOCOLS:
        return None
    to = _DESTINATION.search(text)
    via: Via | None = next((way for words, way in _WAYS if words in comment["what"]), None)
    try:
        address = read_address(to[1]) if to is not None else None
    except ValueError:
        return None
    if address is None:
        by_port = chain == names.NODEPORTS or "--dst-type LOCAL" in text
        via = "nodeport" if by_port else None
    elif via is None and "has no endpoints" in comment["what"]:
        via = "clusterip"
    if via is None or len(port[2]) > 5:
        return None
    return Frontend(
        comment["space"],
        comment["name"],
        comment["port"] or "",
        via,
        address,
        int(port[2]),
        PROTOCOLS[port[1]],
    )
