"""The Kubernetes API as a ClusterApi: lists of kinds, byte for byte where one page holds them.

Objects are not parsed here: ``msgspec.Raw`` finds where each one ends, and pages are joined from
those pieces. Source of the paging rules: Kubernetes, "API concepts", and client-go's pager.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from typing_extensions import Self

from kinspect.collect import kubeconfig
from kinspect.collect.http import Answer, Wire
from kinspect.collect.ports import ApiKind
from kinspect.errors import ApiError, NotAllowed
from kinspect.sanitise import quoted

PAGE = 500  # objects per page, as for kubectl
MOST_PAGES = 10_000
CONNECT_TIMEOUT = 5.0  # seconds
READ_TIMEOUT = 30.0  # seconds without a byte


@dataclass(frozen=True, slots=True)
class _Resource:
    """Where the API has a kind."""

    list_kind: str
    group: str = ""
    namespaced: bool = True

    @property
    def version(self) -> str:
        return f"{self.group}/v1" if self.group else "v1"

    @property
    def root(self) -> str:
        return f"/apis/{self.version}" if self.group else f"/api/{self.version}"


_RESOURCES: Mapping[ApiKind, _Resource] = {
    "services": _Resource("ServiceList"),
    "endpointslices": _Resource("EndpointSliceList", group="discovery.k8s.io"),
    "endpoints": _Resource("EndpointsList"),
    "nodes": _Resource("NodeList", namespaced=False),
    "pods": _Resource("PodList"),
    "namespaces": _Resource("NamespaceList", namespaced=False),
}


class _Meta(msgspec.Struct, omit_defaults=True, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _List(msgspec.Struct, rename="camel"):
    kind: str
    api_version: str
    metadata: _Meta
    items: list[msgspec.Raw] | None  # null is how Go may write a list of none


class _Object(msgspec.Struct):
    """Enough of an object to recognise it as one."""

    kind: str
    metadata: _Meta


_T = TypeVar("_T")


class KubeApi:
    """A ClusterApi: the Kubernetes API at the other end of a Wire. Threads may share it."""

    def __init__(self, access: kubeconfig.Access, wire: Wire) -> None:
        self._access = access
        self._wire = wire

    @property
    def namespace(self) -> str:
        """The context's namespace, which is the default of -n."""
        return self._access.namespace

    @property
    def context(self) -> str | None:
        """The context in use; None for a pod's service account."""
        return self._access.context

    @property
    def where(self) -> str:
        """The context and the kubeconfig, for messages."""
        return self._access.where

    @property
    def wire(self) -> Wire:
        """The connection to the API, for other requests than lists."""
        return self._wire

    def list(
        self,
        kind: ApiKind,
        *,
        namespace: str | None = None,
        name: str | None = None,
        label_selector: str | None = None,
    ) -> bytes:
        """The list of a kind as one JSON document; see ``ports.ClusterApi``.

        A cluster too old for discovery.k8s.io/v1 (before 1.21) gives an empty list of
        EndpointSlices, like a cluster without any: in both, Endpoints say what there is.
        Without the namespace of a namespaced object, ``name`` is looked for in all of them.
        ``namespace`` means nothing for nodes and namespaces.

        Raises ApiError, or CallError where the kubeconfig cannot be used.
        """
        resource = _RESOURCES[kind]
        if not resource.namespaced:
            namespace = None
        if not all(_can_exist(given) for given in (namespace, name) if given is not None):
            return _document(resource, [])
        path = resource.root + (f"/namespaces/{namespace}" if namespace else "") + f"/{kind}"
        if name and not label_selector and (namespace or not resource.namespaced):
            return self._one(kind, f"{path}/{name}", namespace)
        query = {"limit": str(PAGE)}
        if label_selector:
            query["labelSelector"] = label_selector
        if name:
            query["fieldSelector"] = f"metadata.name={name}"
        return self._all(kind, path, query, namespace)

    def version(self) -> bytes:
        """What ``/version`` says, as JSON. Raises ApiError."""
        answer = self._wire.get("/version", {})
        if answer.status != 200:
            raise ApiError(f"the API at {self._wire.server} does not tell its version: {answer.excerpt}")
        self._decoded(answer, "/version", dict[str, msgspec.Raw])
        return answer.body

    def close(self) -> None:
        """Closes the connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _one(self, kind: ApiKind, path: str, namespace: str | None) -> bytes:
        """A single object as a list: needs only the permission to get, and that only this one."""
        resource = _RESOURCES[kind]
        answer = self._wire.get(path, {})
        self._check_allowed(answer, "get", kind, namespace)
        # The API says that an object is not there in JSON; that a path is not, in plain text.
        if answer.status == 404 and (resource.group or answer.message is not None):
            return _document(resource, [])
        self._check_found(answer, path)
        found = self._decoded(answer, path, _Object)
        if f"{found.kind}List" != resource.list_kind:
            raise self._stranger(path, f"a {quoted(found.kind)}")
        return _document(resource, [msgspec.Raw(answer.body)], found.metadata.resource_version)

    def _all(self, kind: ApiKind, path: str, query: dict[str, str], namespace: str | None) -> bytes:
        """All pages of a list, joined; a list of one page is returned unchanged."""
        resource = _RESOURCES[kind]
        pages: list[_List] = []
        token = ""
        for _ in range(MOST_PAGES):
            answer = self._wire.get(path, {**query, "continue": token} if token else query)
            self._check_allowed(answer, "list", kind, namespace)
            if answer.status == 404 and resource.group:
                return _document(resource, [])
            if answer.status == 410 and token and "limit" in query:
                # The state that was being read is no longer kept (etcd compacts every 5 minutes).
                # Going on would join two states into one that never was: so start again, once,
                # and like client-go's pager without pages, so that nothing can expire meanwhile.
                del query["limit"]
                pages, token = [], ""
                continue
            self._check_found(answer, path)
            page = self._decoded(answer, path, _List)
            if page.kind != resource.list_kind:
                raise self._stranger(path, f"a {quoted(page.kind)}")
            pages.append(page)
            token = page.metadata.continue_
            if not token:
                break
        else:  # a token forever, from a server that is broken or means harm
            raise ApiError(f"the API at {self._wire.server} does not end the list {path}")
        if len(pages) == 1 and page.items is not None:
            return answer.body
        items = [item for page in pages for item in page.items or ()]
        return _document(resource, items, pages[0].metadata.resource_version)

    def _check_allowed(self, answer: Answer, verb: str, kind: ApiKind, namespace: str | None) -> None:
        """Raise ApiError with the missing permission, as a Role would grant it."""
        if answer.status != 403:
            return
        group = _RESOURCES[kind].group
        resource = f"{kind}.{group}" if group else kind
        place, flag = f'in namespace "{quoted(namespace or "")}"', f"-n {quoted(namespace or '')}"
        if namespace is None:
            place, flag = "cluster-wide", "-A" if _RESOURCES[kind].namespaced else ""
        user = re.match(r'.*?User "([^"]*)"', answer.message or "", re.DOTALL)
        who = f'user "{quoted(user[1])}"' if user else f"the user of {self._access.where}"
        raise NotAllowed(
            f'{who} may not {verb} {kind} {place} (verb {verb}, resource {kind}, API group "{group}")',
            hint=f"a role must grant it; compare: kubectl auth can-i {verb} {resource} {flag}".rstrip(),
        )

    def _check_found(self, answer: Answer, path: str) -> None:
        if answer.status == 404:
            raise ApiError(
                f"the API at {self._wire.server} has no {path}: {answer.excerpt}",
                hint="is the server in the kubeconfig a Kubernetes API?",
            )
        if answer.status != 200:
            raise ApiError(
                f"the API at {self._wire.server} refused: {answer.status} for {path}: {answer.excerpt}"
            )

    def _decoded(self, answer: Answer, path: str, shape: type[_T]) -> _T:
        try:
            return msgspec.json.decode(answer.body, type=shape)
        except msgspec.ValidationError as e:
            raise self._stranger(path, f"something else: {quoted(str(e))}") from e
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as e:
            raise self._stranger(path, f"what is not JSON: {answer.excerpt}") from e

    def _stranger(self, path: str, what: str) -> ApiError:
        return ApiError(
            f"the API at {self._wire.server} answered {path} with {what}",
            hint="is the server in the kubeconfig a Kubernetes API, and not a proxy or a login page?",
        )


def connect(
    kubeconfig_file: str | None = None,
    context: str | None = None,
    *,
    connect_timeout: float = CONNECT_TIMEOUT,
    read_timeout: float = READ_TIMEOUT,
) -> KubeApi:
    """The API that kubectl would use with these options. Connects at the first request.

    The times are in seconds: to reach the server, and without a byte from it.
    Raises CallError where there is no such kubeconfig or context.
    """
    access = kubeconfig.find(kubeconfig_file, context)
    return KubeApi(access, Wire(access, connect_timeout, read_timeout))


def _document(resource: _Resource, items: Iterable[msgspec.Raw], resource_version: str = "") -> bytes:
    meta = _Meta(resource_version)
    return msgspec.json.encode(_List(resource.list_kind, resource.version, meta, [*items]))


def _can_exist(name: str) -> bool:
    """Whether an object can have the name (RFC 1123); only such names are put into a path."""
    return re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name) is not None
