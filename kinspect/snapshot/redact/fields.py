"""Which fields of JSON documents a redacted capture keeps, and how each is redacted.

A field that is not named here is left out: so nothing that an API object may hold besides (an
environment, an annotation, an image's name) can come along.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

from kinspect.snapshot.redact.aliases import Aliases
from kinspect.snapshot.redact.texts import Texts

Shape: TypeAlias = "str | Mapping[str, Shape]"
"""How a value is redacted: a rule's name, or the shapes of an object's fields. Lists are seen through."""

_MAC: Final = re.compile(r"(?:[0-9a-f]{2}:){5,19}[0-9a-f]{2}")
_ENUM: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:@/+-]{0,63}")


def _meta(kind: str) -> Mapping[str, Shape]:
    return {
        "name": kind, "namespace": "namespace", "labels": "labels", "resourceVersion": "keep",
        "deletionTimestamp": "keep", "ownerReferences": {"kind": "kind"},
    }  # fmt: skip


_REFERENCE: Final[Shape] = {"kind": "kind", "name": "pod", "namespace": "namespace"}
_PORTS: Final[Shape] = {
    "name": "port", "protocol": "keep", "port": "keep", "targetPort": "port", "nodePort": "keep",
    "appProtocol": "port",
}  # fmt: skip
_SUBSET: Final[Shape] = {"ip": "address", "nodeName": "node", "targetRef": _REFERENCE, "hostname": "host"}

_ITEMS: Final[Mapping[str, Shape]] = {
    "services": {
        "metadata": _meta("service"),
        "spec": {
            "type": "keep", "clusterIP": "address", "clusterIPs": "address", "externalIPs": "address",
            "loadBalancerIP": "address", "loadBalancerSourceRanges": "address", "ports": _PORTS,
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": "keep"}}, "externalName": "host",
            "selector": "labels",
            **dict.fromkeys(
                ("externalTrafficPolicy", "internalTrafficPolicy", "sessionAffinity", "healthCheckNodePort",
                 "ipFamilies", "ipFamilyPolicy", "publishNotReadyAddresses", "trafficDistribution",
                 "allocateLoadBalancerNodePorts"), "keep"),
        },
        "status": {"loadBalancer": {"ingress": {"ip": "address", "hostname": "host", "ipMode": "keep"}}},
    },
    "endpointslices": {
        "metadata": _meta("slice"), "addressType": "keep", "ports": _PORTS,
        "endpoints": {
            "addresses": "address", "conditions": {"ready": "keep", "serving": "keep", "terminating": "keep"},
            "nodeName": "node", "targetRef": _REFERENCE, "zone": "zone", "hostname": "host",
            "hints": {"forZones": {"name": "zone"}, "forNodes": {"name": "node"}},
        },
    },
    "endpoints": {
        "metadata": _meta("service"),
        "subsets": {"addresses": _SUBSET, "notReadyAddresses": _SUBSET, "ports": _PORTS},
    },
    "pods": {
        "metadata": _meta("pod"),
        "spec": {"nodeName": "node", "hostNetwork": "keep"},
        "status": {
            "podIP": "address", "podIPs": {"ip": "address"},
            "hostIP": "address", "hostIPs": {"ip": "address"},
            "phase": "keep", "conditions": {"type": "condition", "status": "keep"},
        },
    },
    "nodes": {
        "metadata": _meta("node"),
        "spec": {
            "podCIDR": "address", "podCIDRs": "address", "unschedulable": "keep",
            "taints": {"key": "key", "value": "value", "effect": "keep"},
        },
        "status": {
            "addresses": {"type": "keep", "address": "node"},
            "conditions": {"type": "condition", "status": "keep"},
        },
    },
    "namespaces": {"metadata": _meta("namespace"), "status": {"phase": "keep"}},
}  # fmt: skip

API: Final[Mapping[str, Shape]] = {
    **{
        f"{kind}.json": {
            "kind": "keep", "apiVersion": "keep", "metadata": {"resourceVersion": "keep"},
            "items": shape,
        }
        for kind, shape in _ITEMS.items()
    },
    "version.json": dict.fromkeys(("major", "minor", "gitVersion", "platform"), "keep"),
}  # fmt: skip

_ROUTE: Final[Mapping[str, Shape]] = {
    **dict.fromkeys(("dst", "gateway", "prefsrc", "from"), "address"),
    "via": {"family": "keep", "host": "address"},
    **dict.fromkeys(("type", "dev", "protocol", "scope", "metric", "flags", "pref", "tos", "nhid"), "keep"),
    "table": "table",
    "nexthops": {"gateway": "address", "dev": "keep", "weight": "keep", "flags": "keep",
                 "via": {"family": "keep", "host": "address"}},
}  # fmt: skip
_RULE: Final[Mapping[str, Shape]] = {
    **dict.fromkeys(("src", "dst"), "address"), "table": "table",
    **dict.fromkeys(
        ("priority", "srclen", "dstlen", "action", "fwmark", "fwmask", "iif", "oif", "not", "tos",
         "ipproto", "sport", "sport_start", "sport_end", "dport", "dport_start", "dport_end", "uid_start",
         "uid_end", "suppress_prefixlen", "suppress_ifgroup", "l3mdev", "goto", "nop", "unresolved",
         "iif_detached", "oif_detached", "tun_id", "dscp", "protocol"), "keep"),
}  # fmt: skip
_NEXTHOP: Final[Mapping[str, Shape]] = {
    **dict.fromkeys(("id", "dev", "scope", "protocol", "flags", "blackhole", "fdb", "type"), "keep"),
    "gateway": "address", "via": {"family": "keep", "host": "address"},
    "group": {"id": "keep", "weight": "keep"},
}  # fmt: skip
HOST: Final[Mapping[str, Shape]] = {
    "ip-addr.json": {
        **dict.fromkeys(
            ("ifindex", "ifname", "link", "link_netnsid", "flags", "mtu", "operstate", "group", "link_type",
             "master", "promiscuity"), "keep"),
        "address": "address", "broadcast": "address",
        "linkinfo": {"info_kind": "keep", "info_slave_kind": "keep",
                     "info_data": {"nf_call_iptables": "keep", "nf_call_ip6tables": "keep"}},
        "addr_info": {
            **dict.fromkeys(("family", "prefixlen", "scope", "label", "secondary", "temporary", "deprecated",
                             "dynamic", "mngtmpaddr", "noprefixroute"), "keep"),
            **dict.fromkeys(("local", "address", "broadcast"), "address"),
        },
    },
    "ip-route.json": _ROUTE,
    "ip-6-route.json": _ROUTE,
    "ip-rule.json": _RULE,
    "ip-6-rule.json": _RULE,
    "ip-nexthop.json": _NEXTHOP,
}  # fmt: skip


class Fields:
    """Brings a JSON document to a shape."""

    def __init__(self, texts: Texts, aliases: Aliases) -> None:
        self._texts = texts
        self._aliases = aliases
        self._rules: Mapping[str, Callable[[Any], Any]] = {
            "keep": self._kept,
            "address": self._address,
            "labels": self._labels,
            "key": lambda value: self._aliases.label_key(value),
            "table": lambda value: self._aliases.of("table", value) if not value.isdecimal() else value,
        }

    def shaped(self, value: Any, shape: Shape) -> Any:
        """The value, reduced to the fields that the shape names."""
        if isinstance(value, list):
            return [self.shaped(entry, shape) for entry in value]
        if isinstance(shape, str):
            if value is None or isinstance(value, bool | int | float):
                return value
            return self._named(shape, value)
        if not isinstance(value, dict):
            return None
        made = {key: self.shaped(value[key], shape[key]) for key in value if key in shape}
        for side in ("src", "dst"):  # of a policy rule, whose prefix is a separate field
            if f"{side}len" in made:
                masked = self._texts.addresses(f"{value[side]}/{value[f'{side}len']}")
                made[side] = masked.rpartition("/")[0]
        return made

    def _named(self, rule: str, value: Any) -> Any:
        if rule in self._rules:
            return self._rules[rule](value)
        if not isinstance(value, str):
            return None
        if self._is_address(value):
            return self._texts.addresses(value)
        return self._aliases.of(rule, value)

    def _kept(self, value: Any) -> Any:
        """A word of the format's own; anything else is replaced."""
        if not isinstance(value, str):
            return None
        if not value or _ENUM.fullmatch(value):
            return self._texts.addresses(value)
        return self._aliases.of("word", value)

    def _address(self, value: Any) -> Any:
        if not isinstance(value, str):
            return None
        made = self._texts.addresses(value)
        if made != value or value in ("", "None", "default", "all"):
            return made
        known = _MAC.fullmatch(value) or self._is_address(value.partition("/")[0])
        return value if known else self._aliases.of("host", value)

    def _is_address(self, text: str) -> bool:
        try:
            ip_address(text)
        except ValueError:
            return False
        return True

    def _labels(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return None
        return {
            self._aliases.label_key(key): self._aliases.label_value(key, str(text))
            for key, text in value.items()
        }
