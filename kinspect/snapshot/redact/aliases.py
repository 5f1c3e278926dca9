"""Replaces a cluster's names by a keyed hash; the same name always gets the same alias.

Names that every cluster has (``kube-system``, ``http``) stay, so that a capture remains readable.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final

_LENGTH: Final = 10  # characters of base32: 50 bits, so that no two of a cluster's names meet

# What names of a kind begin with, and which of them every cluster has.
_KINDS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "namespace": ("ns", frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})),
    "service": ("svc", frozenset({"kubernetes", "kube-dns"})),
    "pod": ("pod", frozenset()),
    "node": ("node", frozenset()),
    "slice": ("slice", frozenset()),
    "zone": ("zone", frozenset()),
    "host": ("host", frozenset()),
    "port": (
        "port",
        frozenset({"http", "https", "grpc", "dns", "dns-tcp", "metrics", "tcp", "udp", "sctp", ""}),
    ),
    "key": ("key", frozenset({"app", "name", "tier", "role", "component", "version", "k8s-app", "provider"})),
    "value": ("value", frozenset({"", "true", "false"})),
    "chain": ("CHAIN", frozenset()),
    "calico": ("cali", frozenset()),
    "set": ("SET", frozenset()),
    "table": ("table", frozenset({"local", "main", "default", "all", "unspec"})),
    # Of the API's own words; a custom resource's kind or condition is a name.
    "kind": (
        "Kind",
        frozenset(
            {
                "Pod",
                "Node",
                "DaemonSet",
                "ReplicaSet",
                "StatefulSet",
                "Deployment",
                "Job",
                "CronJob",
                "ReplicationController",
                "Service",
                "EndpointSlice",
                "Endpoints",
            }
        ),
    ),
    "condition": (
        "Condition",
        frozenset(
            {
                "Ready",
                "MemoryPressure",
                "DiskPressure",
                "PIDPressure",
                "NetworkUnavailable",
                "PodScheduled",
                "Initialized",
                "ContainersReady",
                "PodReadyToStartContainers",
            }
        ),
    ),
    "word": ("x", frozenset()),
}

# Labels of Kubernetes itself: the part after the domain stays if it is one of these.
_DOMAIN: Final = re.compile(r"(?:[a-z0-9.-]+\.)?(?:kubernetes|k8s)\.io")
_KEYS: Final = frozenset({
    "os", "arch", "hostname", "zone", "region", "instance-type", "service-name", "managed-by", "name",
    "instance", "component", "part-of", "version", "metadata.name", "control-plane", "master", "worker",
    "exclude-from-external-load-balancers", "headless", "not-ready", "unreachable", "unschedulable",
    "disk-pressure", "memory-pressure", "pid-pressure", "network-unavailable", "service-proxy-name",
})  # fmt: skip
# The kind of name that a label's value is.
_VALUES: Final = {
    "kubernetes.io/service-name": "service", "kubernetes.io/hostname": "node",
    "kubernetes.io/metadata.name": "namespace",
    "topology.kubernetes.io/zone": "zone", "topology.kubernetes.io/region": "zone",
    "failure-domain.beta.kubernetes.io/zone": "zone", "failure-domain.beta.kubernetes.io/region": "zone",
}  # fmt: skip
_AS_IS: Final = frozenset({"kubernetes.io/os", "kubernetes.io/arch"})


class Aliases:
    """The names in place of others, by a key."""

    def __init__(self, key: bytes) -> None:
        self._key = key[:64]
        self._made: dict[tuple[str, str], str] = {}
        self.known: dict[str, str] = {}  # every name that was replaced

    def of(self, kind: str, name: str) -> str:
        """The name in place of one of a kind."""
        made = self._made.get((kind, name))
        if made is None:
            made = self._made[kind, name] = self._new(kind, name)
        return made

    def _new(self, kind: str, name: str) -> str:
        prefix, common = _KINDS[kind]
        if name in common:
            return name
        told = hashlib.blake2b(f"{kind} {name}".encode("utf-8", "surrogateescape"), key=self._key).digest()
        alias = f"{prefix}-{base64.b32encode(told).decode()[:_LENGTH]}"
        if prefix.islower():
            alias = alias.lower()
        self.known.setdefault(name, alias)
        return alias

    def label_key(self, key: str) -> str:
        """The key of a label or a taint."""
        domain, slash, name = key.rpartition("/")
        if slash and _DOMAIN.fullmatch(domain):
            return key if name in _KEYS else f"{domain}/{self.of('key', name)}"
        return self.of("key", key)

    def label_value(self, key: str, value: str) -> str:
        """The value of a label."""
        if key in _AS_IS:
            return value
        return self.of(_VALUES.get(key, "value"), value)
