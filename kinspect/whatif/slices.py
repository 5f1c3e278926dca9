"""EndpointSlices as the controller makes them from a service and its pods.

As k8s.io/endpointslice does: pods of the service's namespace that the selector names, one endpoint
for each address of a family that the service has; ready, serving and terminating by the pod; hints
by ``trafficDistribution``. Slices that the controller does not manage are left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from kinspect.model.changes import Key
from kinspect.whatif.objects import SERVICE_NAME, Object, Objects

MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
CONTROLLER: Final = "endpointslice-controller.k8s.io"
ZONE: Final = "topology.kubernetes.io/zone"
_AUTO: Final = ("service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints")

_Ports = tuple[tuple[str, int, str], ...]


def selects(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """Whether a service's selector matches a pod with the labels; one without a selector matches none."""
    return bool(selector) and all(labels.get(key) == value for key, value in (selector or {}).items())


def made(objects: Objects, service: Object) -> dict[tuple[str, _Ports], list[Object]]:
    """The endpoints that a service's pods make, by address type and ports."""
    meta, spec = service["metadata"], service.get("spec") or {}
    found: dict[tuple[str, _Ports], list[Object]] = {}
    families = spec.get("ipFamilies") or ["IPv4"]
    for key, head in objects.heads("pods").items():
        if key[0] != meta.get("namespace", "") or not selects(spec.get("selector"), head.labels):
            continue
        pod = objects.get("pods", key)
        assert pod is not None
        if not _counts(pod):
            continue
        ports = _ports(spec, pod)
        for address in _addresses(pod):
            family = "IPv6" if ":" in address else "IPv4"
            if family in families:
                found.setdefault((family, ports), []).append(_endpoint(objects, service, pod, address))
    return found


def _counts(pod: Object) -> bool:
    """Whether a pod can be an endpoint: it has not ended, and has an address."""
    status = pod.get("status") or {}
    return status.get("phase") not in ("Succeeded", "Failed") and bool(_addresses(pod))


def _addresses(pod: Object) -> list[str]:
    status = pod.get("status") or {}
    found = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    return found or ([status["podIP"]] if status.get("podIP") else [])


def is_ready(pod: Object) -> bool:
    """Whether the kubelet says that a pod is ready."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _ports(spec: Mapping[str, Any], pod: Object) -> _Ports:
    found = []
    for port in spec.get("ports") or ():
        number = target_port(port, pod)
        if number is not None:  # a name that no container has: the pod has no such port
            found.append((port.get("name") or "", number, port.get("protocol") or "TCP"))
    return tuple(found)


def target_port(port: Mapping[str, Any], pod: Object) -> int | None:
    """The number of a service port at a pod; a name is looked up among its containers' ports."""
    target = port.get("targetPort")
    if not isinstance(target, str):
        return target or port.get("port")
    spec = pod.get("spec") or {}
    containers = list(spec.get("containers") or ())
    containers += [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in containers:
        for each in container.get("ports") or ():
            protocol = each.get("protocol") or "TCP"
            if each.get("name") == target and protocol == (port.get("protocol") or "TCP"):
                number = each.get("containerPort")
                return number if isinstance(number, int) else None
    return None


def _endpoint(objects: Objects, service: Object, pod: Object, address: str) -> Object:
    meta, spec = pod["metadata"], service.get("spec") or {}
    serving = is_ready(pod)
    terminating = meta.get("deletionTimestamp") is not None
    ready = bool(spec.get("publishNotReadyAddresses")) or (serving and not terminating)
    node = (pod.get("spec") or {}).get("nodeName")
    found: Object = {
        "addresses": [address],
        "conditions": {"ready": ready, "serving": serving, "terminating": terminating},
    }
    if node:
        found["nodeName"] = node
    found["targetRef"] = {"kind": "Pod", "name": meta["name"], "namespace": meta.get("namespace", "")}
    if meta.get("uid"):
        found["targetRef"]["uid"] = meta["uid"]
    head = objects.heads("nodes").get(("", node)) if node else None
    if head is not None and head.labels.get(ZONE):
        found["zone"] = head.labels[ZONE]
    hints = _hints(spec.get("trafficDistribution"), found) if ready else None
    if hints:
        found["hints"] = hints
    return found


def _hints(distribution: str | None, endpoint: Object) -> Object | None:
    """The hints of a ready endpoint: its own zone, or its own node and zone."""
    zones = {"forZones": [{"name": endpoint["zone"]}]} if "zone" in endpoint else {}
    if distribution == "PreferSameNode":
        nodes = {"forNodes": [{"name": endpoint["nodeName"]}]} if "nodeName" in endpoint else {}
        return {**nodes, **zones}
    return zones if distribution in ("PreferSameZone", "PreferClose") else None


def hinted_by_cpus(service: Object) -> bool:
    """Whether a service requests hints in proportion to the zones' CPUs, which no list has."""
    annotations = service["metadata"].get("annotations") or {}
    return any(str(annotations.get(name, "")).lower() == "auto" for name in _AUTO)


def managed(objects: Objects, service: Key) -> list[Key]:
    """The slices of a service that the controller manages."""
    found = []
    for key in objects.slices_by_service.get(service, ()):
        head = objects.heads("endpointslices").get(key)
        if head is not None and head.labels.get(MANAGED_BY, CONTROLLER) == CONTROLLER:
            found.append(key)
    return found


def agrees(objects: Objects, service: Object) -> bool:
    """Whether a service's slices match its pods: then those after a change can be computed."""
    key = _key(service)
    recorded = {}
    for slice_key in managed(objects, key):
        item = objects.get("endpointslices", slice_key)
        assert item is not None
        ports = tuple(
            (p.get("name") or "", p.get("port"), p.get("protocol") or "TCP") for p in item.get("ports") or ()
        )
        for endpoint in item.get("endpoints") or ():
            for address in endpoint.get("addresses") or ():
                recorded[address] = (frozenset(ports), *_told(endpoint))
    expected = {
        address: (frozenset(ports), *_told(endpoint))
        for (_, ports), endpoints in made(objects, service).items()
        for endpoint in endpoints
        for address in endpoint["addresses"]
    }
    return recorded == expected


def _told(endpoint: Object) -> tuple[Any, ...]:
    conditions = endpoint.get("conditions") or {}
    ready = conditions.get("ready") is not False
    serving = conditions.get("serving")
    return (
        ready,
        ready if serving is None else serving,
        bool(conditions.get("terminating")),
        endpoint.get("nodeName"),
    )


def _key(service: Object) -> Key:
    return service["metadata"].get("namespace", ""), service["metadata"]["name"]


def reconcile(objects: Objects, service: Object) -> None:
    """Rebuild a service's slices from its pods."""
    key = _key(service)
    standing = managed(objects, key)
    kept_hints = _standing_hints(objects, standing) if hinted_by_cpus(service) else None
    groups = made(objects, service)
    families = (service.get("spec") or {}).get("ipFamilies") or ["IPv4"]
    for family in families:
        if not any(found == family for found, _ in groups):
            groups[family, ()] = []  # the controller keeps an empty one
    names: dict[str, list[Key]] = {}
    for slice_key in standing:
        item = objects.get("endpointslices", slice_key)
        assert item is not None
        names.setdefault(item.get("addressType", "IPv4"), []).append(slice_key)
    for number, ((family, ports), endpoints) in enumerate(sorted(groups.items(), key=lambda group: group[0])):
        if kept_hints is not None:
            for endpoint in endpoints:
                hints = kept_hints.get(endpoint["addresses"][0])
                if hints and endpoint["conditions"]["ready"]:
                    endpoint["hints"] = hints
        free = names.get(family)
        item = objects.edited("endpointslices", free.pop(0)) if free else _new(service, family, number)
        order = {a: n for n, e in enumerate(item.get("endpoints") or ()) for a in e.get("addresses") or ()}
        item["endpoints"] = sorted(endpoints, key=lambda e: order.get(e["addresses"][0], len(order)))
        item["ports"] = [{"name": name, "port": port, "protocol": protocol} for name, port, protocol in ports]
        objects.put("endpointslices", item)
    for left in names.values():
        for slice_key in left:
            objects.delete("endpointslices", slice_key)


def _standing_hints(objects: Objects, slices: list[Key]) -> dict[str, Any]:
    found = {}
    for key in slices:
        item = objects.get("endpointslices", key)
        for endpoint in (item or {}).get("endpoints") or ():
            for address in endpoint.get("addresses") or ():
                found[address] = endpoint.get("hints")
    return found


def _new(service: Object, family: str, number: int) -> Object:
    namespace, name = _key(service)
    return {
        "addressType": family,
        "metadata": {
            "name": f"{name}-whatif{number}",
            "namespace": namespace,
            "labels": {MANAGED_BY: CONTROLLER, SERVICE_NAME: name},
        },
    }


def edit_by_pod(objects: Objects, service: Key, pod: Key, change: Callable[[Object], Object | None]) -> None:
    """Change the endpoints that refer to a pod, if its slices cannot be rebuilt."""
    for slice_key in objects.slices_by_service.get(service, ()):
        item = objects.get("endpointslices", slice_key)
        if item is None or not any(_is_of(e, pod) for e in item.get("endpoints") or ()):
            continue
        item = objects.edited("endpointslices", slice_key)
        endpoints = []
        for endpoint in item["endpoints"]:
            kept = change(endpoint) if _is_of(endpoint, pod) else endpoint
            if kept is not None:
                endpoints.append(kept)
        item["endpoints"] = endpoints


def _is_of(endpoint: Object, pod: Key) -> bool:
    reference = endpoint.get("targetRef") or {}
    return reference.get("kind") == "Pod" and reference.get("name") == pod[1]


def services_of_pod(objects: Objects, pod: Key) -> list[Key]:
    """The services whose slices refer to a pod."""
    found = []
    for service, slices in objects.slices_by_service.items():
        if service[0] != pod[0]:
            continue
        for key in slices:
            item = objects.get("endpointslices", key)
            if item is not None and any(_is_of(e, pod) for e in item.get("endpoints") or ()):
                found.append(service)
                break
    return found
