"""A live cluster as a snapshot: the API first, then, where that makes sense, the nodes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import msgspec

from kinspect.collect import api_lists as kube
from kinspect.collect.fanout import gather
from kinspect.collect.options import EVERY_CONNECTION
from kinspect.collect.ports import ApiKind, ClusterApi, RemoteNode
from kinspect.collect.transports import open_shell
from kinspect.errors import ApiError, CallError, NotAllowed, NotFound
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.gather.api_lists import differing
from kinspect.pipeline.gather.sources import Live, Wanted, check_excluded
from kinspect.snapshot.manifest import ListRecord, Manifest
from kinspect.snapshot.types import Files, NodeName, Snapshot

_SERVICE_LABEL = "kubernetes.io/service-name"  # Kubernetes docs, "EndpointSlices": Ownership


def collect(source: Live, wanted: Wanted) -> tuple[Snapshot, str]:
    """The snapshot, and the namespace in use. A node that fails is in the snapshot, with why.

    Raises ApiError, CallError; NotFound for a service or node that the API does not have, before
    any node is asked.
    """
    with kube.connect(source.kubeconfig, source.context) as api:
        namespace = wanted.namespace or api.namespace
        files, unread = read_api(api, wanted, namespace)
        origin = api.where
        cluster = Cluster(files, origin)
        if wanted.service is not None:
            space, name = wanted.service
            cluster.service(space or namespace, name)
        hosts = hosts_of(cluster, wanted.nodes, origin, source.exclude)
        reach = source.reach
        if wanted.connections:
            reach = replace(reach, connections=EVERY_CONNECTION)
        nodes, failed = gather(open_shell(reach, api), hosts, source.parallel, source.progress)
        manifest = _moved(api, wanted, namespace, files)
        if wanted.settles is not None and any(map(wanted.settles, manifest.moved)):
            # Rules may be of before the change or of after it. Once more: most changes are over by now.
            files, unread = read_api(api, wanted, namespace)
            nodes, failed = gather(open_shell(reach, api), hosts, source.parallel, source.progress)
            manifest = _moved(api, wanted, namespace, files)
        manifest = msgspec.structs.replace(manifest, api={**unread, **manifest.api})
    snapshot = Snapshot(
        origin=origin, api=files, nodes=nodes, failed=failed, manifest=manifest, excluded=source.exclude
    )
    return snapshot, namespace


def read_api(api: ClusterApi, wanted: Wanted, namespace: str) -> tuple[Files, dict[str, ListRecord]]:
    """The lists that are needed, and no others; and why one is missing that can be. Raises ApiError."""
    files: dict[str, bytes] = {"nodes.json": api.list("nodes")}
    if wanted.service is None:
        for kind in ("services", "endpointslices"):
            files[f"{kind}.json"] = api.list(kind)
    else:
        space, name = wanted.service
        space = space or namespace
        files["services.json"] = api.list("services", namespace=space, name=name)
        if not Cluster(files, "").service_names():
            # So that the error can say which names are near.
            files["services.json"] = api.list("services")
            return files, {}
        files["endpointslices.json"] = _endpoints(api, "endpointslices", wanted, namespace)
    if not Cluster(files, "").has_slices():
        files["endpoints.json"] = _endpoints(api, "endpoints", wanted, namespace)
    unread: dict[str, ListRecord] = {}
    if wanted.pods:
        try:
            files["pods.json"] = api.list("pods")
        except NotAllowed as error:
            if not wanted.pods_if_allowed:
                raise
            unread["pods"] = ListRecord(error=str(error))
    return files, unread


def _endpoints(api: ClusterApi, kind: ApiKind, wanted: Wanted, namespace: str) -> bytes:
    """The EndpointSlices or Endpoints that are needed."""
    if wanted.service is None:
        return api.list(kind)
    space, name = wanted.service[0] or namespace, wanted.service[1]
    if kind == "endpointslices":
        return api.list(kind, namespace=space, label_selector=f"{_SERVICE_LABEL}={name}")
    return api.list(kind, namespace=space, name=name)


def _moved(api: ClusterApi, wanted: Wanted, namespace: str, files: Files) -> Manifest:
    """What changed while nodes were read, so that their rules may be of before or of after."""
    kind: ApiKind = "endpoints" if "endpoints.json" in files else "endpointslices"
    try:
        after = _endpoints(api, kind, wanted, namespace)
    except ApiError as error:
        return Manifest(api={f"{kind}, read again": ListRecord(error=str(error))})
    changed = differing(files[f"{kind}.json"], after, kind)
    return Manifest(changed=tuple(sorted("/".join(key) for key in changed)))


def list_kind(kubeconfig: str | None, context: str | None, kind: ApiKind, timeout: float) -> Files:
    """One list, with little patience: for shell completion. Raises ApiError, CallError."""
    with kube.connect(kubeconfig, context, connect_timeout=timeout, read_timeout=timeout) as api:
        return {f"{kind}.json": api.list(kind)}


def hosts_of(
    cluster: Cluster, wanted: Sequence[str], origin: str, exclude: Collection[str] = ()
) -> list[RemoteNode]:
    """The nodes of the API that are wanted, or all but those to exclude. Raises NotFound, CallError."""
    nodes = cluster.nodes
    check_excluded(exclude, list(nodes), origin)
    for name in wanted:
        if name in exclude:
            raise CallError(f"node {name} is asked for, and excluded by --exclude-node")
    unknown = [name for name in wanted if name not in nodes]
    if unknown:
        raise NotFound(
            f"there is no node {unknown[0]} in {origin}", hint=f"it has: {', '.join(list(nodes)[:20])}"
        )
    return [
        RemoteNode(NodeName(node.name), {kind: addresses[0] for kind, addresses in node.addresses.items()})
        for node in nodes.values()
        if (not wanted or node.name in wanted) and node.name not in exclude
    ]
