"""Changes to the API's objects, with the reactions of the API server and the controllers."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from typing_extensions import assert_never

from kinspect.errors import CallError
from kinspect.model.changes import (
    AddPods,
    Apply,
    Change,
    Cordon,
    Delete,
    Drain,
    Key,
    Relabel,
    Remove,
    SetField,
    Terminate,
    Unready,
)  # fmt: skip
from kinspect.model.whatif import (
    Consequence,
    Evicted,
    HintsKept,
    NoEffect,
    NotFromPods,
    Placeholder,
    Replaced,
    Unscheduled,
)  # fmt: skip
from kinspect.snapshot.types import Files
from kinspect.whatif import slices
from kinspect.whatif.merge import merged
from kinspect.whatif.objects import SERVICE_NAME, Object, Objects
from kinspect.whatif.service import key_of, settle

_DELETED = "1970-01-01T00:00:00Z"  # when a pod began to terminate: any time will do
_MIRROR = "kubernetes.io/config.mirror"
_CORDONED = "node.kubernetes.io/unschedulable"


@dataclass(slots=True)
class Changed:
    """The API after changes: its lists, the services whose rules may differ, and the consequences."""

    api: Files
    services: tuple[Key, ...]
    consequences: tuple[Consequence, ...]
    evicted: tuple[Evicted, ...] = ()


def apply(api: Files, origin: str, changes: Sequence[Change]) -> Changed:
    """The API after some changes, made in their order.

    Raises NotFound for a missing object, CallError for a change that the API server would refuse.
    """
    maker = _Maker(Objects(api, origin), Objects(api, origin))
    for change in changes:
        maker.make(change)
    maker.follow()
    found = tuple(dict.fromkeys(maker.found))
    return Changed(
        api=maker.after.files(),
        services=tuple(sorted(maker.services)),
        consequences=found,
        evicted=tuple(each for each in found if isinstance(each, Evicted)),
    )


@dataclass
class _Maker:
    """The objects before and after, and the necessary consequences of the changes so far."""

    before: Objects
    after: Objects
    found: list[Consequence] = field(default_factory=list)
    services: set[Key] = field(default_factory=set)  # those whose rules may differ
    _pods: set[Key] = field(default_factory=set)  # changed, added or gone
    _slices: set[Key] = field(default_factory=set)  # services whose slices must be rebuilt

    def make(self, change: Change) -> None:
        """One change."""
        match change:
            case SetField():
                self._set(change)
            case Relabel(kind="node"):
                self._relabel_node(change)
            case Relabel():
                self._relabel_pod(change)
            case Cordon(node, on):
                self._cordon(node, on)
                self.found.append(NoEffect("cordon" if on else "uncordon", node))
            case Drain(node):
                self._drain(node)
            case Remove(pod):
                self._remove(pod)
                self._owned(pod)
            case Unready(pod):
                self._condition(pod)
            case Terminate(pod):
                self._terminate(pod)
                self._owned(pod)
            case AddPods():
                self._add(change)
            case Apply():
                self._apply(change)
            case Delete():
                self._delete(change)
            case _:
                assert_never(change)

    # Services

    def _set(self, change: SetField) -> None:
        item = self.after.edited("services", change.service)
        old = copy.deepcopy(item)
        _put(item, change.path, change.value)
        self._write_service(item, old)
        if item == old:
            self.found.append(NoEffect("same", ".".join(map(str, change.path))))

    def _write_service(self, item: Object, old: Object | None) -> None:
        self.found += settle(self.after, item, old)
        key = key_of(item)
        self.after.put("services", item)
        self.services.add(key)
        if old is None or _endpoint_fields(item) != _endpoint_fields(old):
            self._slices.add(key)

    # Pods

    def _pod(self, key: Key) -> Object | None:
        """A pod to change; None: pods were not read, but EndpointSlices refer to this one."""
        if self.after.get("pods", key) is not None:
            self._pods.add(key)
            return self.after.edited("pods", key)
        if slices.services_of_pod(self.after, key):
            self._pods.add(key)
            return None
        raise self.after.missing("pods", key)

    def _relabel_pod(self, change: Relabel) -> None:
        pod = self._pod(change.key)
        if pod is None:
            raise CallError(
                f"pod {'/'.join(change.key)} was not read: its labels are not known",
                hint="capture reads pods",
            )
        labels = pod["metadata"].setdefault("labels", {})
        before = dict(labels)
        _relabel(labels, change)
        self.after.noticed("pods", change.key)
        if labels == before:
            self.found.append(NoEffect("same", "/".join(change.key)))
        elif not any(
            self._selects(key, before) != self._selects(key, labels) for key in self._of(change.key)
        ):
            self.found.append(NoEffect("pod-label", "/".join(change.key)))

    def _of(self, pod: Key) -> Iterable[Key]:
        """The services of a pod's namespace."""
        return (key for key in self.after.keys("services") if key[0] == pod[0])

    def _selects(self, service: Key, labels: dict[str, str]) -> bool:
        head = self.after.heads("services")[service]
        return slices.selects(head.spec.selector if head.spec else None, labels)

    def _remove(self, key: Key) -> None:
        if self._pod(key) is not None:
            self.after.delete("pods", key)
        else:
            self._by_name(key, lambda _: None)

    def _condition(self, key: Key) -> None:
        pod = self._pod(key)
        if pod is None:
            self._by_name(key, lambda e: {**e, "conditions": _now(e, ready=False, serving=False)})
            return
        if not slices.is_ready(pod):
            self.found.append(NoEffect("already", f"pod {'/'.join(key)} is not ready"))
        status = pod.setdefault("status", {})
        others = [
            c for c in status.get("conditions") or () if c.get("type") not in ("Ready", "ContainersReady")
        ]
        gone = [{"type": kind, "status": "False"} for kind in ("Ready", "ContainersReady")]
        status["conditions"] = [*others, *gone]

    def _terminate(self, key: Key) -> None:
        pod = self._pod(key)
        if pod is None:
            self._by_name(key, lambda e: {**e, "conditions": _now(e, ready=False, terminating=True)})
            return
        if pod["metadata"].get("deletionTimestamp"):
            self.found.append(NoEffect("already", f"pod {'/'.join(key)} is terminating"))
        pod["metadata"].setdefault("deletionTimestamp", _DELETED)

    def _by_name(self, pod: Key, change: Any) -> None:
        for service in slices.services_of_pod(self.after, pod):
            slices.edit_by_pod(self.after, service, pod, change)
            self.services.add(service)
            self.found.append(NotFromPods("/".join(service)))

    def _owned(self, key: Key) -> None:
        owner = _owner(self.before.get("pods", key) or {})
        if owner is not None and owner[0] not in ("DaemonSet", "Node"):
            self.found.append(Replaced(key, f"{owner[0]} {owner[1]}"))

    def _add(self, change: AddPods) -> None:
        service = self.after.get("services", change.service)
        if service is None:
            raise self.after.missing("services", change.service)
        node = self.after.get("nodes", ("", change.node))
        if node is None:
            raise self.after.missing("nodes", ("", change.node))
        spec = service.get("spec") or {}
        if not spec.get("selector"):
            name = "/".join(change.service)
            raise CallError(
                f"service {name} has no selector: no pod joins it", hint="--apply an EndpointSlice"
            )
        template = self._template(change.service, spec)
        for _ in range(change.count):
            self._new_pod(template, change.service[0], change.node, node)

    def _template(self, service: Key, spec: Object) -> Object:
        """A pod of the service to copy; ready ones first."""
        found: list[Object] = []
        for key, head in self.after.heads("pods").items():
            if key[0] == service[0] and slices.selects(spec["selector"], head.labels):
                pod = self.after.get("pods", key)
                assert pod is not None
                found.append(pod)
        if found:
            return max(
                found, key=lambda pod: (slices.is_ready(pod), not pod["metadata"].get("deletionTimestamp"))
            )
        made: Object = {"metadata": {"name": service[1], "labels": dict(spec["selector"])}, "spec": {}}
        for port in spec.get("ports") or ():
            if slices.target_port(port, made) is None:
                raise CallError(
                    f"service {'/'.join(service)} has no pod to make another one like:"
                    f" its targetPort {port['targetPort']!r} is a name",
                    hint="--apply a Pod",
                )
        return made

    def _new_pod(self, template: Object, namespace: str, name: str, node: Object) -> Key:
        pod = copy.deepcopy(template)
        meta = pod["metadata"]
        base = meta.get("generateName") or f"{meta['name']}-"
        number = 1
        while self.after.get("pods", (namespace, f"{base}new{number}")) is not None:
            number += 1
        key = namespace, f"{base}new{number}"
        pod["metadata"] = {
            "name": key[1],
            "namespace": namespace,
            "labels": dict(meta.get("labels") or {}),
            "ownerReferences": meta.get("ownerReferences") or [],
        }
        pod.setdefault("spec", {})["nodeName"] = name
        self._run(pod, node)
        self.after.put("pods", pod)
        self._pods.add(key)
        return key

    def _run(self, pod: Object, node: Object) -> None:
        """A pod runs on a node: it is ready, and has addresses there."""
        families = {"IPv6" if ":" in a else "IPv4" for a in _pod_ips(pod)}
        key = key_of(pod)
        if pod["spec"].get("hostNetwork"):
            addresses = [a["address"] for a in _addresses(node)]
        else:
            addresses = self._free_addresses(node, families)
            for address in addresses:
                self.found.append(Placeholder("pod address", "/".join(key), address, "the pod network"))
        conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
        pod["status"] = {
            "phase": "Running",
            "conditions": conditions,
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
        }

    def _free_addresses(self, node: Object, families: set[str]) -> list[str]:
        """An address of each family of the node's pods that none of them has."""
        used: set[str] = set()
        here: list[str] = []
        name = node["metadata"]["name"]
        for key, head in self.after.heads("pods").items():
            pod = self.after.get("pods", key)
            used.update(_pod_ips(pod or {}))
            if (
                head.spec
                and head.spec.node_name == name
                and not ((pod or {}).get("spec") or {}).get("hostNetwork")
            ):
                here += _pod_ips(pod or {})
        spec = node.get("spec") or {}
        texts = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
        networks = [ip_network(text, strict=False) for text in texts]
        found = []
        for version, family in ((4, "IPv4"), (6, "IPv6")):
            if families and family not in families:
                continue
            own = [ip_address(a) for a in here if (":" in a) == (version == 6)]
            fitting = [n for n in networks if n.version == version and (not own or any(a in n for a in own))]
            if not fitting and own:  # the pod network does not follow podCIDR
                fitting = [ip_network((int(own[0]) >> 8 << 8, own[0].max_prefixlen - 8))]
            for network in fitting[:1]:
                # High ones are free for longest, and the very last is a gateway in some networks.
                at = network[-3]
                while str(at) in used:
                    at -= 1
                found.append(str(at))
        if not found:
            raise CallError(
                f"node {name} has no podCIDR and no pods: the address of a pod there is not known"
            )
        return found

    # Nodes

    def _cordon(self, name: str, on: bool) -> None:
        node = self.after.edited("nodes", ("", name))
        spec = node.setdefault("spec", {})
        taints = [t for t in spec.get("taints") or () if t.get("key") != _CORDONED]
        if on:
            spec["unschedulable"] = True
            taints.append({"key": _CORDONED, "effect": "NoSchedule"})
        else:
            spec.pop("unschedulable", None)
        if taints or "taints" in spec:
            spec["taints"] = taints

    def _drain(self, name: str) -> None:
        self._cordon(name, on=True)
        pods: dict[str, list[Key]] = {what: [] for what in ("gone", "daemon", "static", "replaced", "bare")}
        for key, head in list(self.after.heads("pods").items()):
            if head.spec is None or head.spec.node_name != name:
                continue
            pod = self.after.get("pods", key) or {}
            owner = _owner(pod)
            if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                continue
            if owner is not None and owner[0] == "DaemonSet":
                pods["daemon"].append(key)
            elif (owner is not None and owner[0] == "Node") or _MIRROR in (
                pod["metadata"].get("annotations") or {}
            ):
                pods["static"].append(key)
            else:
                pods["gone"].append(key)
                pods["bare" if owner is None else "replaced"].append(key)
                self._pods.add(key)
                self.after.delete("pods", key)
        if not self.after.heads("pods"):
            self._drain_by_slices(name, pods["gone"])
        what = (tuple(pods[kind]) for kind in ("gone", "daemon", "static", "replaced", "bare"))
        self.found.append(Evicted(name, *what))

    def _drain_by_slices(self, name: str, gone: list[Key]) -> None:
        """Pods were not read: the node's endpoints from EndpointSlices."""
        pods = dict.fromkeys(
            (key[0], endpoint["targetRef"]["name"])
            for key in self.after.keys("endpointslices")
            for endpoint in (self.after.get("endpointslices", key) or {}).get("endpoints") or ()
            if endpoint.get("nodeName") == name and (endpoint.get("targetRef") or {}).get("kind") == "Pod"
        )
        for pod in pods:
            gone.append(pod)
            self._by_name(pod, lambda _: None)

    def _relabel_node(self, change: Relabel) -> None:
        node = self.after.edited("nodes", change.key)
        labels = node["metadata"].setdefault("labels", {})
        zone = labels.get(slices.ZONE)
        _relabel(labels, change)
        self.after.noticed("nodes", change.key)
        if labels.get(slices.ZONE) == zone:
            self.found.append(NoEffect("node-label", change.key[1]))
        else:
            self._moved(change.key[1])

    def _moved(self, node: str) -> None:
        """A node is in another zone: its endpoints are, and its kube-proxy uses other hints."""
        for key, head in self.after.heads("pods").items():
            if head.spec is not None and head.spec.node_name == node:
                self._pods.add(key)
        self.services.update(self.after.keys("services"))

    # Manifests

    def _apply(self, change: Apply) -> None:
        item = dict(copy.deepcopy(change.object))
        kinds: dict[str, Any] = {
            "Service": "services",
            "EndpointSlice": "endpointslices",
            "Pod": "pods",
            "Node": "nodes",
        }
        kind = kinds[item["kind"]]
        key = ("" if kind == "nodes" else item["metadata"]["namespace"], item["metadata"]["name"])
        old = copy.deepcopy(self.after.get(kind, key))
        new = merged(old, item) if old is not None else item
        if kind == "services":
            self._write_service(new, old)
            return
        self.after.put(kind, new)
        if kind == "endpointslices":
            for each in (old, new):
                name = ((each or {}).get("metadata", {}).get("labels") or {}).get(SERVICE_NAME)
                if name:
                    self.services.add((key[0], name))
        elif kind == "pods":
            self._pods.add(key)
            self._applied_pod(new)
        else:
            before = ((old or {}).get("metadata", {}).get("labels") or {}).get(slices.ZONE)
            after = (new["metadata"].get("labels") or {}).get(slices.ZONE)
            if before != after:
                self._moved(key[1])

    def _applied_pod(self, pod: Object) -> None:
        """A pod that a manifest creates: it runs, ready, on its node if it names one."""
        if _pod_ips(pod):
            return
        name = (pod.get("spec") or {}).get("nodeName")
        node = self.after.get("nodes", ("", name)) if name else None
        if node is None:
            self.found.append(Unscheduled("/".join(key_of(pod))))
            return
        self._run(pod, node)

    def _delete(self, change: Delete) -> None:
        if change.kind == "pod":
            self._remove(change.key)
            self._owned(change.key)
        elif change.kind == "node":
            self.after.delete("nodes", change.key)
            for key, head in list(self.after.heads("pods").items()):
                if head.spec is not None and head.spec.node_name == change.key[1]:
                    self._remove(key)
        else:
            self.after.delete("services", change.key)
            self.services.add(change.key)
            for key in self.after.slices_by_service.get(change.key, ()):
                if self.after.get("endpointslices", key) is not None:
                    self.after.delete("endpointslices", key)

    # Controllers

    def follow(self) -> None:
        """EndpointSlices of the services that changed, or whose pods did."""
        for pod in self._pods:
            self._slices.update(self._services_of(pod))
        for key in sorted(self._slices):
            service = self.after.get("services", key)
            if service is None or not (service.get("spec") or {}).get("selector"):
                continue
            old = self.before.get("services", key)
            if old is not None and not slices.agrees(self.before, old):
                self._follow_by_name(key)
                continue
            if slices.hinted_by_cpus(service):
                self.found.append(HintsKept("/".join(key)))
            slices.reconcile(self.after, service)
            self.services.add(key)

    def _services_of(self, pod: Key) -> set[Key]:
        found = set()
        for objects in (self.before, self.after):
            head = objects.heads("pods").get(pod)
            if head is None:
                continue
            for key, service in objects.heads("services").items():
                if key[0] == pod[0] and slices.selects(
                    service.spec.selector if service.spec else None, head.labels
                ):
                    found.add(key)
        return found

    def _follow_by_name(self, service: Key) -> None:
        """Slices that do not match the pods: only parts that refer to a changed pod are changed."""
        self.found.append(NotFromPods("/".join(service)))
        self.services.add(service)
        for key in self._pods:
            pod = self.after.get("pods", key)
            selector = ((self.after.get("services", service) or {}).get("spec") or {}).get("selector")
            if pod is None or not slices.selects(selector, pod["metadata"].get("labels") or {}):
                slices.edit_by_pod(self.after, service, key, lambda _: None)
                continue
            serving, leaving = slices.is_ready(pod), bool(pod["metadata"].get("deletionTimestamp"))
            conditions = {"ready": serving and not leaving, "serving": serving, "terminating": leaving}
            slices.edit_by_pod(self.after, service, key, lambda e, c=conditions: {**e, "conditions": c})  # type: ignore[misc]


def _put(item: Object, path: Sequence[str | int], value: Any) -> None:
    """Set a field; None removes it. Raises CallError if the path does not exist."""
    at: Any = item
    shown = ".".join(map(str, path))
    for number, step in enumerate(path[:-1]):
        if isinstance(step, int):
            if not isinstance(at, list) or step >= len(at):
                raise CallError(f"--set {shown}: there is no item {step}")
            at = at[step]
        elif isinstance(at, dict):
            if at.get(step) is None:
                at[step] = {} if not isinstance(path[number + 1], int) else []
            at = at[step]
        else:
            raise CallError(f"--set {shown}: there is no field {step}")
    last = path[-1]
    if isinstance(last, int):
        if not isinstance(at, list) or last >= len(at):
            raise CallError(f"--set {shown}: there is no item {last}")
        at[last] = value
    elif not isinstance(at, dict):
        raise CallError(f"--set {shown}: there is no field {last}")
    elif value is None:
        at.pop(last, None)
    else:
        at[last] = value


def _endpoint_fields(service: Object) -> tuple[Any, ...]:
    """The data from which EndpointSlices are made."""
    spec = service.get("spec") or {}
    ports = [
        (p.get("name"), p.get("protocol"), p.get("targetPort"), p.get("port"))
        for p in spec.get("ports") or ()
    ]
    fields = ("selector", "publishNotReadyAddresses", "trafficDistribution", "ipFamilies")
    return ports, *(spec.get(name) for name in fields)


def _relabel(labels: dict[str, str], change: Relabel) -> None:
    for key, value in change.labels.items():
        if value is None:
            labels.pop(key, None)
        else:
            labels[key] = value


def _now(endpoint: Object, **values: bool) -> Object:
    return {**(endpoint.get("conditions") or {}), **values}


def _owner(pod: Object) -> tuple[str, str] | None:
    """Kind and name of the controller that a pod belongs to."""
    owners = (pod.get("metadata") or {}).get("ownerReferences") or ()
    for owner in owners:
        if owner.get("controller") is not False:
            return str(owner.get("kind")), str(owner.get("name", ""))
    return None


def _pod_ips(pod: Object) -> list[str]:
    status = pod.get("status") or {}
    return [e["ip"] for e in status.get("podIPs") or () if e.get("ip")] or (
        [status["podIP"]] if status.get("podIP") else []
    )


def _addresses(node: Object) -> list[Any]:
    found = (node.get("status") or {}).get("addresses") or ()
    return [address for address in found if address.get("type") == "InternalIP"]
