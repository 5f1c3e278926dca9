"""Names of kube-proxy's chains, and the hashes in them.

Source: pkg/proxy/iptables/proxier.go (``servicePortChainName`` and its kin): the prefix and the first
16 characters of the base32 of the SHA-256 of what the chain is for.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from kinspect.model.packet import Address, endpoint_text
from kinspect.model.rules import ChainName, Ruleset, TableName

NAT: Final = TableName("nat")
FILTER: Final = TableName("filter")

SERVICES: Final = ChainName("KUBE-SERVICES")
NODEPORTS: Final = ChainName("KUBE-NODEPORTS")
EXTERNAL_SERVICES: Final = ChainName("KUBE-EXTERNAL-SERVICES")
PROXY_FIREWALL: Final = ChainName("KUBE-PROXY-FIREWALL")
POSTROUTING: Final = ChainName("KUBE-POSTROUTING")
FORWARD: Final = ChainName("KUBE-FORWARD")
MARK_MASQ: Final = ChainName("KUBE-MARK-MASQ")
MARK_DROP: Final = ChainName("KUBE-MARK-DROP")
FIREWALL: Final = ChainName("KUBE-FIREWALL")  # kubelet's, and kube-proxy's for localhost NodePorts

SERVICE: Final = "KUBE-SVC-"
LOCAL: Final = "KUBE-SVL-"
EXTERNAL: Final = "KUBE-EXT-"
OLD_LOCAL: Final = "KUBE-XLB-"  # before 1.24: policy Local
SOURCE_RANGES: Final = "KUBE-FW-"
ENDPOINT: Final = "KUBE-SEP-"
CANARY: Final = ChainName("KUBE-PROXY-CANARY")  # empty: if it is gone, something flushed the rules

LEADING_TO_ENDPOINTS: Final = (SERVICE, LOCAL, EXTERNAL, OLD_LOCAL, SOURCE_RANGES)
"""Prefixes of the chains that KUBE-SERVICES and KUBE-NODEPORTS lead to."""

OF_SERVICE_PORTS: Final = (*LEADING_TO_ENDPOINTS, ENDPOINT)
"""Prefixes of the chains that belong to one service port each."""

SHARED: Final = frozenset({SERVICES, EXTERNAL_SERVICES, NODEPORTS, PROXY_FIREWALL})
"""Chains with rules of many services, whose order does not matter."""

FIXED: Final = frozenset({FORWARD, FIREWALL, POSTROUTING, MARK_MASQ, CANARY})
"""Chains that do not depend on services."""

LAST_RULE: Final = "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
"""The comment of the rule that ends KUBE-SERVICES in nat."""

JUMPS: Final = (("PREROUTING", SERVICES), ("OUTPUT", SERVICES), ("POSTROUTING", POSTROUTING))
"""The jumps of nat without which no packet meets kube-proxy's rules."""


def is_kube(chain: str) -> bool:
    """Whether a chain belongs to Kubernetes: kube-proxy writes it, or kubelet does."""
    return chain.startswith("KUBE-")


def is_own(chain: str) -> bool:
    """Whether kube-proxy writes a chain of this name."""
    return chain in SHARED or chain in FIXED or chain.startswith(OF_SERVICE_PORTS)


def service_port_name(namespace: str, service: str, port: str) -> str:
    """``namespace/service:port``, or without the colon if the port has no name."""
    return f"{namespace}/{service}:{port}" if port else f"{namespace}/{service}"


def service_chain(prefix: str, service_port: str, protocol: str) -> ChainName:
    """The chain of a service port, such as KUBE-SVC-AEJ565DT7YN2S3PD; ``protocol`` in any case."""
    return ChainName(prefix + hashed(service_port + protocol.lower()))


def endpoint_chain(service_port: str, protocol: str, address: Address, port: int) -> ChainName:
    """The KUBE-SEP- chain of an endpoint of a service port."""
    return ChainName(ENDPOINT + hashed(service_port + protocol.lower() + endpoint_text(address, port)))


def has_services(rules: Ruleset) -> bool:
    """Whether kube-proxy's rules for services are in a dump."""
    chain = rules.chain(NAT, SERVICES)
    return chain is not None and not chain.empty


def hashed(text: str) -> str:
    """The part of a chain's name that identifies a service port, or an endpoint of one."""
    # Ten bytes make just 16 characters.
    return base64.b32encode(hashlib.sha256(text.encode()).digest()[:10]).decode()
