"""A live cluster as a snapshot: the API first, then, if that makes sense, the nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kinspect.collect import api_lists as kube
from kinspect.collect.fanout import gather
from kinspect.collect.options import EVERY_CONNECTION, NodeOptions, Progress
from kinspect.collect.ports import ApiKind, ClusterApi, RemoteNode
from kinspect.collect.transports import open_shell
from kinspect.errors import ApiError, NotFound
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.gather.api_lists import differing
from kinspect.pipeline.gather.sources import Wanted
from kinspect.snapshot.manifest import ListRecord, Manifest
from kinspect.snapshot.types import Files, NodeName, Snapshot

_SERVICE_LABEL = "kubernetes.io/service-name"  # Kubernetes docs, "EndpointSlices": Ownership


def collect(
    kubeconfig: str | None,
    context: str | None,
    reach: NodeOptions,
    parallel: int | None,
    progress: Progress | None,
    wanted: Wanted,
) -> tuple[Snapshot, str]:
    """The snapshot, and the namespace in use. A node that fails is in the snapshot, with why.

    Raises ApiError, CallError; NotFound for a service or node that the API does not have, before
    any node is asked.
    """
    with kube.connect(kubeconfig, context) as api:
        namespace = wanted.namespace or api.namespace
        files = read_api(api, wanted, namespace)
        origin = api.where
        cluster = Cluster(files, origin)
        if wanted.service is not None:
            space, name = wanted.service
            cluster.service(space or namespace, name)
        hosts = hosts_of(cluster, wanted.nodes, origin)
        if wanted.connections:
            reach = replace(reach, connections=EVERY_CONNECTION)
        nodes, failed = gather(open_shell(reach, api), hosts, parallel, progress)
        manifest = _moved(api, wanted, namespace, files)
    return Snapshot(origin=origin, api=files, nodes=nodes, failed=failed, manifest=manifest), namespace


def read_api(api: ClusterApi, wanted: Wanted, namespace: str) -> Files:
    """The lists that are needed, and no others. Raises ApiError."""
    files: dict[str, bytes] = {"nodes.json": api.list("nodes")}
    if wanted.service is None:
        for kind in ("services", "endpointslices"):
            files[f"{kind}.json"] = api.list(kind)
    else:
        space, name = wanted.service
        space = space or namespace
        files["services.json"] = api.list("services", namespace=space, name=name)
        if not Cluster(files, "").service_names():
            # So that the error can name similar ones.
            files["services.json"] = api.list("services")
            return files
        files["endpointslices.json"] = _endpoints(api, "endpointslices", wanted, namespace)
    if not Cluster(files, "").has_slices():
        files["endpoints.json"] = _endpoints(api, "endpoints", wanted, namespace)
    if wanted.pods:
        files["pods.json"] = api.list("pods")
    return files


def _endpoints(api: ClusterApi, kind: ApiKind, wanted: Wanted, namespace: str) -> bytes:
    """The EndpointSlices or Endpoints that are needed."""
    if wanted.service is None:
        return api.list(kind)
    space, name = wanted.service[0] or namespace, wanted.service[1]
    if kind == "endpointslices":
        return api.list(kind, namespace=space, label_selector=f"{_SERVICE_LABEL}={name}")
    return api.list(kind, namespace=space, name=name)


def _moved(api: ClusterApi, wanted: Wanted, namespace: str, files: Files) -> Manifest | None:
    """What changed while nodes were read, so that their rules may be older or newer."""
    kind: ApiKind = "endpoints" if "endpoints.json" in files else "endpointslices"
    try:
        after = _endpoints(api, kind, wanted, namespace)
    except ApiError as error:
        return Manifest(api={f"{kind}, read again": ListRecord(error=str(error))})
    changed = differing(files[f"{kind}.json"], after, kind)
    return Manifest(changed=tuple(sorted("/".join(key) for key in changed))) if changed else None


def list_kind(kubeconfig: str | None, context: str | None, kind: ApiKind, timeout: float) -> Files:
    """One list, with a short time limit: for shell completion. Raises ApiError, CallError."""
    with kube.connect(kubeconfig, context, connect_timeout=timeout, read_timeout=timeout) as api:
        return {f"{kind}.json": api.list(kind)}


def hosts_of(cluster: Cluster, wanted: Sequence[str], origin: str) -> list[RemoteNode]:
    """The wanted nodes of the API, or all. Raises NotFound."""
    nodes = cluster.nodes
    unknown = [name for name in wanted if name not in nodes]
    if unknown:
        raise NotFound(
            f"there is no node {unknown[0]} in {origin}", hint=f"it has: {', '.join(list(nodes)[:20])}"
        )
    return [
        RemoteNode(NodeName(node.name), {kind: addresses[0] for kind, addresses in node.addresses.items()})
        for node in nodes.values()
        if not wanted or node.name in wanted
    ]
