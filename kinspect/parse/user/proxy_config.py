"""The parts of kube-proxy's configuration file on which its rules depend (``--kube-proxy-config``).

KubeProxyConfiguration of kubeproxy.config.k8s.io/v1alpha1, or the ConfigMap that kubeadm keeps it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, Final

from kinspect.errors import CallError
from kinspect.kubeproxy.settings import Detector
from kinspect.model.packet import Family

_KIND: Final = "KubeProxyConfiguration"
_KEYS: Final = ("config.conf", "config", "kube-proxy.conf", "config.yaml")  # of ConfigMaps that are met


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """A configuration that was read; ``source`` is its file."""

    fields: Mapping[str, Any]
    source: str

    def settings(self, family: Family) -> dict[str, object]:
        """The settings that it gives, by the names of ``kubeproxy.settings.Settings``."""
        found: dict[str, object] = {}
        iptables = _part(self.fields, "iptables")
        linux = _part(self.fields, "linux")  # of v1alpha2
        bit = iptables.get("masqueradeBit", 14)
        found["mark"] = 1 << bit if isinstance(bit, int) and 0 <= bit <= 31 else 1 << 14
        found["masquerade_all"] = bool(iptables.get("masqueradeAll") or linux.get("masqueradeAll"))
        found["detector"] = self._detector(family)
        conntrack = _part(linux, "conntrack") or _part(self.fields, "conntrack")
        found["invalid_rule"] = not conntrack.get("tcpBeLiberal")
        if family == 4:
            found["localhost_node_ports"] = iptables.get("localhostNodePorts") is not False
        return found

    def _detector(self, family: Family) -> Detector | None:
        detect = _part(self.fields, "detectLocal")
        match self.fields.get("detectLocalMode") or "ClusterCIDR":
            case "BridgeInterface":
                return Detector("-i", str(detect.get("bridgeInterface", "")))
            case "InterfaceNamePrefix":
                return Detector("-i", f"{detect.get('interfaceNamePrefix', '')}+")
            case "ClusterCIDR":
                for text in str(self.fields.get("clusterCIDR") or "").split(","):
                    network = _network(text)
                    if network is not None and network[1] == family:
                        return Detector("-s", network[0])
        return None


def read_proxy_config(data: bytes, source: str) -> ProxyConfig:
    """The configuration in a file. Raises CallError."""
    import yaml

    hint = "see kubectl -n kube-system get configmap kube-proxy -o yaml"
    try:
        document = yaml.safe_load(data.decode("utf-8"))
        if isinstance(document, dict) and document.get("kind") == "ConfigMap":
            entries = _part(document, "data")
            text = next((entries[key] for key in _KEYS if isinstance(entries.get(key), str)), "")
            document = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise CallError(f"{source}: not YAML: {' '.join(str(error).split())[:200]}", hint=hint) from error
    if not isinstance(document, dict) or document.get("kind") != _KIND:
        raise CallError(f"{source}: there is no {_KIND} in it", hint=hint)
    mode = document.get("mode") or "iptables"
    if mode != "iptables":
        raise CallError(f"{source}: its mode is {mode}: kinspect knows the rules of mode iptables")
    return ProxyConfig(document, source)


def _part(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _network(text: str) -> tuple[str, int] | None:
    try:
        network = ip_network(text.strip(), strict=False)
    except ValueError:
        return None
    return str(network), network.version
