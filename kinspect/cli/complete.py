"""Names for shell completion: services, namespaces and nodes, of the snapshot or the cluster.

Never prints and never fails: a shell that waits for completions shows nothing else. Completion
asks the live cluster only briefly, and not at all for nodes over SSH.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kinspect.errors import KinspectError

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9./-]*")  # RFC 1123 names, and a kind before them
_PATIENCE = 2.0  # seconds for the API, before a shell would seem to hang


def services(ctx: Any, incomplete: str) -> Iterable[str]:
    """``svc/NAME`` of the namespace, ``NAMESPACE/NAME`` where one is begun."""
    cluster = _cluster(ctx, "services")
    if cluster is None:
        return []
    namespace = ctx.params.get("namespace") or "default"
    names = [f"svc/{name}" for space, name in cluster.service_names() if space == namespace]
    names += [f"{space}/{name}" for space, name in cluster.service_names()]
    return _offered(names, incomplete)


def namespaces(ctx: Any, incomplete: str) -> Iterable[str]:
    """Namespaces."""
    cluster = _cluster(ctx, "namespaces")
    names = cluster.namespaces() if cluster else []
    return _offered(names, incomplete)


def nodes(ctx: Any, incomplete: str) -> Iterable[str]:
    """Nodes, by the API."""
    cluster = _cluster(ctx, "nodes")
    return _offered(cluster.nodes if cluster else (), incomplete)


def node_targets(ctx: Any, incomplete: str) -> Iterable[str]:
    """``node/NAME``."""
    return _offered([f"node/{name}" for name in nodes(ctx, "")], incomplete)


def pods(ctx: Any, incomplete: str) -> Iterable[str]:
    """``pod/NAME`` of the namespace, ``pod/NAMESPACE/NAME`` of all."""
    cluster = _cluster(ctx, "pods")
    namespace = ctx.params.get("namespace") or "default"
    found = list(cluster.pods) if cluster else []
    names = [f"pod/{name}" for space, name in found if space == namespace]
    return _offered([*names, *(f"pod/{space}/{name}" for space, name in found)], incomplete)


def senders(ctx: Any, incomplete: str) -> Iterable[str]:
    """``node/NAME`` and ``pod/NAMESPACE/NAME``."""
    if incomplete.startswith("pod/"):
        cluster = _cluster(ctx, "pods")
        found = [f"pod/{space}/{name}" for space, name in (cluster.pods if cluster else ())]
    else:
        found = [f"node/{name}" for name in nodes(ctx, "")] + ["pod/"]
    return _offered(found, incomplete)


def codes(incomplete: str) -> Iterable[str]:
    """Codes that ``kinspect explain`` knows."""
    from kinspect.pipeline.explain import explain

    return _offered((page.code for page in explain().pages), incomplete)


def kinds(incomplete: str) -> Iterable[str]:
    """Kinds of documents."""
    from kinspect.report.formats import kinds as known

    return _offered(known(), incomplete)


def _offered(names: Iterable[str], incomplete: str) -> list[str]:
    """Those that continue what was typed; a name that a shell could run as code is never offered."""
    return [name for name in names if name.startswith(incomplete) and _PLAIN.fullmatch(name)]


def _cluster(ctx: Any, kind: Any) -> Any:
    """The cluster that the words so far name; None where there is none to be had."""
    from kinspect.parse.api.cluster import Cluster
    from kinspect.pipeline.gather.opened import open_recorded
    from kinspect.pipeline.gather.sources import Demo, Recorded

    given = ctx.params
    try:
        if given.get("snapshot"):
            opened = open_recorded(Recorded(Path(given["snapshot"])))
            return Cluster(opened.api, opened.origin)
        if given.get("demo"):
            opened = open_recorded(Demo())
            return Cluster(opened.api, opened.origin)
        if given.get("rules"):
            return None
        from kinspect.pipeline.gather.live import list_kind

        api = list_kind(given.get("kubeconfig"), given.get("context"), kind, timeout=_PATIENCE)
        return Cluster(api, "the cluster")
    except (KinspectError, OSError):
        return None
