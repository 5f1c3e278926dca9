"""A Service as the API server would store it: with defaults, without fields that no longer apply.

As pkg/registry/core/service (strategy and storage) of Kubernetes 1.36 does. A cluster IP or a
NodePort that it would choose is a placeholder from the same range.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from ipaddress import ip_address
from typing import Any, Final

from kinspect.errors import CallError
from kinspect.model.changes import Key
from kinspect.model.whatif import Consequence, NoAddress, Placeholder
from kinspect.whatif.objects import Object, Objects

FIELDS: Final = frozenset({
    "allocateLoadBalancerNodePorts", "clusterIP", "clusterIPs", "externalIPs", "externalName",
    "externalTrafficPolicy", "healthCheckNodePort", "internalTrafficPolicy", "ipFamilies",
    "ipFamilyPolicy", "loadBalancerClass", "loadBalancerIP", "loadBalancerSourceRanges", "ports",
    "publishNotReadyAddresses", "selector", "sessionAffinity", "sessionAffinityConfig",
    "trafficDistribution", "type",
})  # fmt: skip
_VALUES: Final = {
    "type": ("ClusterIP", "NodePort", "LoadBalancer", "ExternalName"),
    "externalTrafficPolicy": ("Cluster", "Local"),
    "internalTrafficPolicy": ("Cluster", "Local"),
    "sessionAffinity": ("None", "ClientIP"),
    "ipFamilyPolicy": ("SingleStack", "PreferDualStack", "RequireDualStack"),
    "trafficDistribution": ("PreferClose", "PreferSameZone", "PreferSameNode"),
}
_LISTS: Final = ("clusterIPs", "externalIPs", "ipFamilies", "loadBalancerSourceRanges", "ports")
_MAPS: Final = ("selector", "sessionAffinityConfig")
_STICKY: Final = 10800  # seconds: the default of sessionAffinityConfig
_NODE_PORTS: Final = range(30000, 32768)
_DEFAULT_NETWORK: Final = {"IPv4": "10.96.0.1", "IPv6": "fd00:10:96::1"}


def settle(objects: Objects, item: Object, old: Object | None) -> list[Consequence]:
    """Bring a service into the form that the API server would store. Raises CallError: it would refuse."""
    spec = item.setdefault("spec", {})
    name = f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}"
    _check(spec, name)
    was = (old or {}).get("spec") or {}
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["type"] == "ExternalName":
        for field in ("clusterIP", "clusterIPs", "internalTrafficPolicy", "externalTrafficPolicy"):
            spec.pop(field, None)
        return []
    found: list[Consequence] = []
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    _affinity(spec)
    found += _cluster_ips(objects, spec, was, name)
    spec.setdefault("internalTrafficPolicy", "Cluster")
    _external_policy(spec, was, name)
    found += _node_ports(objects, spec, was, name)
    found += _health_check(objects, spec, name)
    status = item.setdefault("status", {}).setdefault("loadBalancer", {})
    if spec["type"] != "LoadBalancer":
        status.clear()
        spec.pop("allocateLoadBalancerNodePorts", None)
        spec.pop("loadBalancerClass", None)
    elif not status.get("ingress"):
        found.append(NoAddress(name))
    return found


def _check(spec: Object, name: str) -> None:
    for field in spec:
        if field not in FIELDS:
            near = get_close_matches(field, FIELDS, 1)
            hint = f"did you mean {near[0]}?" if near else "kubectl explain service.spec lists the fields"
            raise CallError(f"service {name}: a Service has no field spec.{field}", hint=hint)
    for field, allowed in _VALUES.items():
        value = spec.get(field)
        if value is not None and value not in allowed:
            raise CallError(
                f"service {name}: the API server refuses {field} {value!r}",
                hint=f"it is one of {', '.join(allowed)}",
            )
    for field in _LISTS:
        if spec.get(field) is not None and not isinstance(spec[field], list):
            raise CallError(f"service {name}: {field} is a list", hint=f"{field}=[…]")
    for field in _MAPS:
        if spec.get(field) is not None and not isinstance(spec[field], dict):
            raise CallError(f"service {name}: {field} has fields of its own", hint=f"{field}={{…}}")
    for port in spec.get("ports") or ():
        if not isinstance(port, dict) or not _is_port(port.get("port")):
            raise CallError(f"service {name}: each of its ports needs a port, 1 to 65535")
        if port.get("nodePort") is not None and not _is_port(port["nodePort"]):
            raise CallError(f"service {name}: nodePort {port['nodePort']!r} is not a port")
    for field in ("externalIPs", "clusterIPs"):
        for value in spec.get(field) or ():
            if value != "None" and not _is_address(value):
                raise CallError(f"service {name}: {field} {value!r} is not an address")
    if isinstance(spec.get("selector"), dict) and not all(
        isinstance(v, str) for v in spec["selector"].values()
    ):
        raise CallError(f"service {name}: values of selector are text", hint='quote them: {app: "1"}')
    if (
        spec.get("type", "ClusterIP") != "ExternalName"
        and not spec.get("ports")
        and spec.get("clusterIP") != "None"
    ):
        raise CallError(f"service {name}: it has no ports")


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _is_address(text: object) -> bool:
    try:
        ip_address(str(text))
    except ValueError:
        return False
    return isinstance(text, str)


def _affinity(spec: Object) -> None:
    if spec["sessionAffinity"] == "ClientIP":
        config = spec.get("sessionAffinityConfig") or {}
        client = config.get("clientIP") or {}
        spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _STICKY, **client}}
    else:
        spec.pop("sessionAffinityConfig", None)


def _cluster_ips(objects: Objects, spec: Object, was: Object, name: str) -> Iterator[Consequence]:
    """The cluster IPs: kept, given, or chosen in each family that the service requests."""
    old = was.get("clusterIPs") or ([was["clusterIP"]] if was.get("clusterIP") else [])
    given = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
    other = old and given and (old[0] != given[0] or spec.get("clusterIP", old[0]) != old[0])
    if other and was.get("type") != "ExternalName":
        raise CallError(
            f"service {name}: the API server refuses another clusterIP", hint="create a new service"
        )
    addresses = list(given or old)
    if addresses[:1] == ["None"]:
        spec["clusterIP"], spec["clusterIPs"] = "None", ["None"]
        spec.setdefault("ipFamilies", was.get("ipFamilies") or ["IPv4"])
        return
    policy = spec.setdefault("ipFamilyPolicy", was.get("ipFamilyPolicy") or "SingleStack")
    families = list(spec.get("ipFamilies") or was.get("ipFamilies") or [])
    if not families:
        families = ["IPv6" if ":" in a else "IPv4" for a in addresses] or _families(objects)[:1]
    if policy == "SingleStack":
        families = families[:1]
    elif len(families) == 1:
        other = "IPv6" if families == ["IPv4"] else "IPv4"
        if policy == "RequireDualStack" or other in _families(objects):
            families.append(other)
    used = _used_addresses(objects)
    chosen = []
    for family in families:
        fitting = [a for a in addresses if (":" in a) == (family == "IPv6")]
        if fitting:
            chosen.append(fitting[0])
            continue
        address = _free_address(family, used)
        chosen.append(address)
        yield Placeholder("cluster IP", name, address, "the API server")
    spec["ipFamilies"], spec["clusterIPs"], spec["clusterIP"] = families, chosen, chosen[0]


def _families(objects: Objects) -> list[str]:
    """The families of the cluster's services, that of the API server's own first."""
    kubernetes = objects.get("services", ("default", "kubernetes"))
    own = ((kubernetes or {}).get("spec") or {}).get("ipFamilies") or ["IPv4"]
    found = dict.fromkeys(own)
    found |= dict.fromkeys("IPv6" if ":" in address else "IPv4" for address in _used_addresses(objects))
    return list(found)


def _used_addresses(objects: Objects) -> list[str]:
    found = []
    for key in objects.keys("services"):
        spec = (objects.get("services", key) or {}).get("spec") or {}
        ips = spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])
        found += [ip for ip in ips if _is_address(ip)]
    return found


def _free_address(family: str, used: list[str]) -> str:
    """An address next to those in use: from the service network, whatever its size."""
    version = 6 if family == "IPv6" else 4
    known = {ip_address(a) for a in used if (":" in a) == (version == 6)}
    at = min(known, key=int) if known else ip_address(_DEFAULT_NETWORK[family])
    while at in known or not known:
        known.add(at)
        at += 1
    used.append(str(at))
    return str(at)


def _external_policy(spec: Object, was: Object, name: str) -> None:
    """ExternalTrafficPolicy applies only to services that can be reached from outside."""
    wanted = spec.get("externalTrafficPolicy")
    if spec["type"] in ("NodePort", "LoadBalancer") or spec.get("externalIPs"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    elif wanted and wanted != was.get("externalTrafficPolicy"):
        raise CallError(
            f"service {name}: the API server refuses externalTrafficPolicy: nothing leads in from outside",
            hint="it is of type ClusterIP and has no externalIPs",
        )
    else:
        spec.pop("externalTrafficPolicy", None)


def _wants_node_ports(spec: Object) -> bool:
    kind = spec.get("type")
    allocated = spec.get("allocateLoadBalancerNodePorts") is not False
    return kind == "NodePort" or (kind == "LoadBalancer" and allocated)


def _node_ports(objects: Objects, spec: Object, was: Object, name: str) -> Iterator[Consequence]:
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    ports = spec.get("ports") or []
    if not _wants_node_ports(spec):
        if spec["type"] == "ClusterIP" or _wants_node_ports(was):
            for port in ports:
                port.pop("nodePort", None)
        return
    old = {
        (p.get("name"), p.get("protocol"), p.get("port")): p.get("nodePort") for p in was.get("ports") or ()
    }
    for port in ports:
        if not port.get("nodePort"):
            port["nodePort"] = old.get((port.get("name"), port.get("protocol"), port.get("port")))
        if not port.get("nodePort"):
            port["nodePort"] = _free_port(objects, {p.get("nodePort") for p in ports})
            label = f"{name}:{port['name']}" if port.get("name") else name
            yield Placeholder("NodePort", label, str(port["nodePort"]), "the API server")


def _free_port(objects: Objects, taken: set[Any]) -> int:
    used = set(taken)
    for key in objects.keys("services"):
        spec = (objects.get("services", key) or {}).get("spec") or {}
        used |= {port.get("nodePort") for port in spec.get("ports") or ()} | {spec.get("healthCheckNodePort")}
    return next(port for port in _NODE_PORTS if port not in used)


def _health_check(objects: Objects, spec: Object, name: str) -> Iterator[Consequence]:
    """A load balancer checks each node for endpoints under policy Local only."""
    if spec["type"] != "LoadBalancer" or spec.get("externalTrafficPolicy") != "Local":
        spec.pop("healthCheckNodePort", None)
    elif not spec.get("healthCheckNodePort"):
        taken = {port.get("nodePort") for port in spec.get("ports") or ()}
        spec["healthCheckNodePort"] = _free_port(objects, taken)
        yield Placeholder("health check NodePort", name, str(spec["healthCheckNodePort"]), "the API server")


def key_of(item: Object) -> Key:
    """Namespace and name."""
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]
