from __future__ import annotations

import json
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from kinspect.collect import api_lists, http
from kinspect.collect.api_lists import KubeApi, connect
from kinspect.collect.ports import ApiKind, ClusterApi
from kinspect.errors import ApiError, CallError, ExitCode, KinspectError
from tests.collect.replay import RESOURCE_VERSION, TOKEN, Fault, ReplayServer, closed_port, write_kubeconfig

STORY = Path(__file__).parents[1] / "data" / "story-1-both-nodes"
KINDS: tuple[ApiKind, ...] = ("services", "endpointslices", "endpoints", "nodes", "pods", "namespaces")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ReplayServer]:
    with ReplayServer(STORY, tmp_path) as server:
        yield server


@pytest.fixture
def api(server: ReplayServer) -> Iterator[KubeApi]:
    with connect(str(server.kubeconfig), read_timeout=10) as api:
        yield api


@pytest.fixture(autouse=True)
def _no_cluster_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the kubeconfig, the pod or the proxy of whoever runs it."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    names = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "ALL_PROXY", "HTTPS_PROXY")
    for name in (*names, "HTTP_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def recorded(kind: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads((STORY / "api" / f"{kind}.json").read_bytes())["items"]
    return items


def many(count: int) -> list[dict[str, Any]]:
    service = recorded("services")[-1]
    return [{**service, "metadata": {**service["metadata"], "name": f"service-{n}"}} for n in range(count)]


def names(document: bytes) -> list[str]:
    return [item["metadata"]["name"] for item in json.loads(document)["items"]]


def failure(call: Callable[[], object]) -> KinspectError:
    """The error that the call ends in, of ours, in one line, and without the token."""
    with pytest.raises(KinspectError) as caught:
        call()
    for text in (caught.value.message, caught.value.hint or "", repr(caught.value)):
        assert TOKEN not in text
        assert all(c.isprintable() for c in text), ascii(text)
    return caught.value


# Lists


def test_is_a_cluster_api(api: KubeApi) -> None:
    port: ClusterApi = api
    assert port is api


@pytest.mark.parametrize("kind", KINDS)
def test_lists_what_was_recorded(api: KubeApi, kind: ApiKind) -> None:
    document = json.loads(api.list(kind))
    assert document["items"] == recorded(kind)
    assert document["kind"].endswith("List")
    assert document["metadata"]["resourceVersion"] == RESOURCE_VERSION


@pytest.mark.parametrize(
    ("kind", "asked", "path"),
    [
        ("services", {}, "/api/v1/services"),
        ("services", {"namespace": "default"}, "/api/v1/namespaces/default/services"),
        ("services", {"namespace": "default", "name": "a"}, "/api/v1/namespaces/default/services/a"),
        ("endpoints", {}, "/api/v1/endpoints"),
        ("endpointslices", {}, "/apis/discovery.k8s.io/v1/endpointslices"),
        ("endpointslices", {"namespace": "a"}, "/apis/discovery.k8s.io/v1/namespaces/a/endpointslices"),
        ("pods", {"namespace": "kube-system"}, "/api/v1/namespaces/kube-system/pods"),
        ("nodes", {"name": "node1"}, "/api/v1/nodes/node1"),
        ("nodes", {"namespace": "default"}, "/api/v1/nodes"),
        ("namespaces", {}, "/api/v1/namespaces"),
        ("namespaces", {"name": "default"}, "/api/v1/namespaces/default"),
    ],
)
def test_asks_at_the_path_of_the_kind(
    api: KubeApi, server: ReplayServer, kind: ApiKind, asked: dict[str, str], path: str
) -> None:
    api.list(kind, **asked)
    assert server.paths == [path]


def test_a_list_of_one_page_is_the_answer_byte_for_byte(api: KubeApi, server: ReplayServer) -> None:
    body = b'{ "kind":"ServiceList",\n"apiVersion":"v1","metadata":{},"items":[{"a" : 1e400}], "new":0}'
    server.faults = [Fault(200, body=body)]
    assert api.list("services") == body


def test_pages_are_joined_to_one_list_with_items_byte_for_byte(api: KubeApi, server: ReplayServer) -> None:
    item = b'{ "spaced" : 1.50,\n "f\xc3\xbc" : "\\u00fc" }'
    first = (
        b'{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"x"},"items":['
    )
    last = b'{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":['
    server.faults = [Fault(200, times=1, body=first + item + b"]}"), Fault(200, body=last + item + b"]}")]
    document = api.list("services")
    assert document == last + item + b"," + item + b"]}"


def test_pages_are_of_500(api: KubeApi, server: ReplayServer) -> None:
    server.lists["services"] = many(1201)
    document = json.loads(api.list("services"))
    assert document["items"] == server.lists["services"]
    assert (document["kind"], document["apiVersion"]) == ("ServiceList", "v1")
    assert document["metadata"] == {"resourceVersion": RESOURCE_VERSION}
    assert [request.partition("?")[2] for request in server.requests] == [
        "limit=500",
        "limit=500&continue=500",
        "limit=500&continue=1000",
    ]


def test_an_expired_token_starts_the_list_again_once_and_without_pages(
    api: KubeApi, server: ReplayServer
) -> None:
    server.lists["services"] = many(1201)
    server.faults = [Fault(410, times=1)]
    assert names(api.list("services")) == [f"service-{n}" for n in range(1201)]
    assert [request.partition("?")[2] for request in server.requests] == [
        "limit=500",
        "limit=500&continue=500",
        "",
    ]


def test_a_list_without_end_is_an_error(
    api: KubeApi, server: ReplayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_lists, "MOST_PAGES", 5)
    page = b'{"kind":"ServiceList","apiVersion":"v1","metadata":{"continue":"x"},"items":[]}'
    server.faults = [Fault(200, body=page)]
    assert "keeps paginating the list /api/v1/services" in failure(lambda: api.list("services")).message
    assert len(server.requests) == 5


def test_items_of_null_are_none(api: KubeApi, server: ReplayServer) -> None:
    server.faults = [Fault(200, body=b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":null}')]
    assert json.loads(api.list("pods"))["items"] == []


def test_a_label_selector_is_handed_on(api: KubeApi, server: ReplayServer) -> None:
    selector = "kubernetes.io/service-name=test-service"
    found = json.loads(api.list("endpointslices", namespace="default", label_selector=selector))["items"]
    assert [item["metadata"]["labels"]["kubernetes.io/service-name"] for item in found] == ["test-service"]
    assert (
        json.loads(api.list("endpointslices", label_selector="kubernetes.io/service-name=x"))["items"] == []
    )
    assert "labelSelector=kubernetes.io%2Fservice-name%3Dtest-service" in server.requests[0]


def test_a_name_brings_that_object_alone(api: KubeApi) -> None:
    document = json.loads(api.list("services", namespace="default", name="test-service"))
    assert document["kind"] == "ServiceList"
    assert [item["metadata"]["name"] for item in document["items"]] == ["test-service"]
    assert document["items"][0]["kind"] == "Service"


@pytest.mark.parametrize("namespace", ["default", None], ids=["by get", "by list"])
def test_a_name_that_is_not_there_brings_an_empty_list(api: KubeApi, namespace: str | None) -> None:
    document = json.loads(api.list("services", namespace=namespace, name="nobody"))
    assert (document["kind"], document["items"]) == ("ServiceList", [])


def test_a_name_without_namespace_is_looked_for_in_all(api: KubeApi, server: ReplayServer) -> None:
    assert names(api.list("services", name="test-service")) == ["test-service"]
    assert server.requests == ["/api/v1/services?limit=500&fieldSelector=metadata.name%3Dtest-service"]


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../secrets/x", "a?b", "a%2fb", "Ä", "a\nb", "-a"])
def test_what_cannot_be_a_name_is_not_sent(api: KubeApi, server: ReplayServer, name: str) -> None:
    assert names(api.list("services", namespace="default", name=name)) == []
    assert names(api.list("services", namespace=name)) == []
    assert server.requests == []


@pytest.mark.parametrize("asked", [{}, {"namespace": "default", "name": "a"}], ids=["list", "get"])
def test_a_cluster_without_endpointslices_has_none(
    api: KubeApi, server: ReplayServer, asked: dict[str, str]
) -> None:
    server.has_slices = False
    assert json.loads(api.list("endpointslices", **asked))["items"] == []


def test_version_is_what_the_api_says(api: KubeApi) -> None:
    assert json.loads(api.version()) == json.loads((STORY / "api" / "version.json").read_bytes())


def test_says_who_asks_and_takes_gzip(api: KubeApi, server: ReplayServer) -> None:
    server.lists["services"] = many(400)  # beyond 128 KiB, where the server packs
    assert len(names(api.list("services"))) == 400
    assert server.headers[0]["User-Agent"].startswith("kinspect/")
    assert server.headers[0]["Accept-Encoding"] == "gzip"


def test_secrets_are_never_asked_for() -> None:
    assert set(api_lists._RESOURCES) == set(KINDS)


# What the API refuses


def test_403_names_the_permission_and_the_user(api: KubeApi, server: ReplayServer) -> None:
    server.faults = [Fault(403)]
    error = failure(lambda: api.list("endpointslices"))
    assert isinstance(error, ApiError)
    assert error.exit_code == ExitCode.UNDETERMINED
    assert error.message == (
        'user "jane" may not list endpointslices cluster-wide '
        '(verb list, resource endpointslices, API group "discovery.k8s.io")'
    )
    assert error.hint == (
        "a role must grant it; compare: kubectl auth can-i list endpointslices.discovery.k8s.io -A"
    )


@pytest.mark.parametrize(
    ("kind", "asked", "missing"),
    [
        (
            "services",
            {"namespace": "shop"},
            'list services in namespace "shop" (verb list, resource services',
        ),
        ("services", {"namespace": "shop", "name": "a"}, 'get services in namespace "shop" (verb get, '),
        ("nodes", {}, 'list nodes cluster-wide (verb list, resource nodes, API group "")'),
        ("nodes", {"name": "node1"}, "get nodes cluster-wide (verb get, resource nodes"),
    ],
)
def test_403_names_verb_and_place(
    api: KubeApi, server: ReplayServer, kind: ApiKind, asked: dict[str, str], missing: str
) -> None:
    server.faults = [Fault(403)]
    assert missing in failure(lambda: api.list(kind, **asked)).message


def test_403_without_a_status_still_names_the_permission(api: KubeApi, server: ReplayServer) -> None:
    server.faults = [Fault(403, body=b"<html>no</html>")]
    assert 'the user of context "replay" of' in failure(lambda: api.list("pods")).message


def test_401_says_whose_credentials(api: KubeApi, server: ReplayServer, tmp_path: Path) -> None:
    other = write_kubeconfig(tmp_path / "other", server, user={"token": "expired"})
    with connect(str(other)) as stranger:
        error = failure(lambda: stranger.list("services"))
    assert error.message == (
        f'the API at 127.0.0.1:{server.port} does not accept the credentials of context "replay" of {other}'
    )
    assert isinstance(error, ApiError)
    assert "expired" in (error.hint or "")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(500), "failed: 500 for /api/v1/services: Internal error occurred: etcdserver"),
        (Fault(503, body=b"upstream gone"), "failed: 503 for /api/v1/services: upstream gone"),
        (Fault(400, body=b""), "refused: 400 for /api/v1/services: nothing"),
        (Fault(404, body=b"404 page not found\n"), "has no /api/v1/services: 404 page not found"),
        (Fault(302, headers={"Location": "https://127.0.0.1:1/"}), "redirects /api/v1/services (302)"),
        (Fault(204), "refused: 204"),
        (Fault(200, body=b"<html>\nlog in"), "something that is not JSON: <html>"),
        (Fault(200, body=b""), "something that is not JSON: nothing"),
        (Fault(200, body=b'{"kind":"ServiceList","items":[{]}'), "something that is not JSON"),
        (Fault(200, body=b"[" * 100_000), "/api/v1/services with"),
        (Fault(200, body=b'{"kind":"ServiceList","x":' + b"[" * 100_000), "something that is not JSON"),
        (Fault(200, body=b'"\xff\xfe"'), "/api/v1/services with"),
        (Fault(200, body=b"[]"), "something else: Expected `object`, got `array`"),
        (Fault(200, body=b'{"kind":"ServiceList"}'), "something else: Object missing required field"),
        (
            Fault(200, body=b'{"kind":"Status\\u001b[2J","apiVersion":"v1","metadata":{},"items":[]}'),
            r"with a Status\x1b[2J",
        ),
        (Fault(500, body=b"\x1b]0;owned\x07\xe2\x80\xae\xff"), r"\x1b]0;owned\x07\u202e"),
        (Fault(500, body=b'{"kind":"Status","message":"a\\u001b[31m\\nb"}'), r"a\x1b[31m\nb"),
        (Fault(500, body=b'{"kind":"Status","message":"' + b"x" * 9999 + b'"}'), "xxx…"),
        (Fault(500, body=f"Authorization: Bearer {TOKEN}".encode()), "[credentials]"),
        (Fault(403, body=b'{"kind":"Status","message":"User \\"\\u001b[2J\\" cannot"}'), r'user "\x1b[2J"'),
        (Fault(429, headers={"Retry-After": "0"}), "is overloaded (429): too many requests"),
    ],
)
def test_a_refusal_is_one_clear_line(api: KubeApi, server: ReplayServer, fault: Fault, said: str) -> None:
    server.faults = [fault]
    error = failure(lambda: api.list("services"))
    assert isinstance(error, ApiError)
    assert said in error.message
    assert len(error.message) < 1000


@pytest.mark.parametrize("body", [b"[]", b"oops", b"[" * 100_000])
def test_a_version_that_is_none_is_an_error(api: KubeApi, server: ReplayServer, body: bytes) -> None:
    server.faults = [Fault(200, body=body)]
    assert "answered /version with" in failure(api.version).message


def test_an_object_of_another_kind_is_an_error(api: KubeApi, server: ReplayServer) -> None:
    server.faults = [Fault(200, body=b'{"kind":"Secret","metadata":{}}')]
    error = failure(lambda: api.list("services", namespace="default", name="a"))
    assert "/api/v1/namespaces/default/services/a with a Secret" in error.message


# Tried again


@pytest.mark.parametrize(
    "fault",
    [
        Fault(how="drop", times=2),
        Fault(429, times=2, headers={"Retry-After": "0"}),
        Fault(503, times=2, headers={"Retry-After": "0"}),
    ],
    ids=["dropped", "429", "503"],
)
def test_what_may_pass_is_tried_again(api: KubeApi, server: ReplayServer, fault: Fault) -> None:
    server.faults = [fault]
    assert json.loads(api.list("services"))["items"] == recorded("services")
    assert len(server.requests) == http.TRIES


def test_a_connection_that_always_breaks_is_an_error(api: KubeApi, server: ReplayServer) -> None:
    server.faults = [Fault(how="drop")]
    error = failure(lambda: api.list("services"))
    assert error.message == (
        f"the connection to the API at 127.0.0.1:{server.port} was cut while /api/v1/services was read"
    )
    assert error.__cause__ is not None
    assert len(server.requests) == http.TRIES


@pytest.mark.parametrize("fault", [Fault(500), Fault(401), Fault(403), Fault(429)])
def test_what_will_not_pass_is_asked_once(api: KubeApi, server: ReplayServer, fault: Fault) -> None:
    server.faults = [fault]
    failure(lambda: api.list("services"))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        ("0", 0.0),
        ("3", 3.0),
        ("86400", http.LONGEST_WAIT),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0),
        ("-5", 1.0),
    ],
)
def test_a_retry_after_is_heeded_within_reason(
    api: KubeApi, server: ReplayServer, monkeypatch: pytest.MonkeyPatch, asked: str, waited: float
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    server.faults = [Fault(429, times=1, headers={"Retry-After": asked})]
    api.list("services")
    assert waits == [waited]


# What cannot be reached


def test_a_refused_connection_says_where_and_why(server: ReplayServer, tmp_path: Path) -> None:
    with closed_port() as port:
        cluster = {"server": f"https://user:secret@127.0.0.1:{port}"}
        path = write_kubeconfig(tmp_path / "other", server, cluster=cluster)
        with connect(str(path)) as api:
            error = failure(lambda: api.list("services"))
    assert isinstance(error, ApiError)
    assert error.message == f"cannot reach the API at 127.0.0.1:{port}: Connection refused"
    assert error.__cause__ is not None


def test_a_name_that_does_not_resolve_is_said(server: ReplayServer, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "other", server, cluster={"server": "https://api.invalid:6443"})
    with connect(str(path)) as api:
        error = failure(lambda: api.list("services"))
    assert error.message.startswith("cannot reach the API at api.invalid:6443: ")
    assert "HTTPSConnection" not in error.message


def test_silence_ends_after_the_read_timeout(server: ReplayServer) -> None:
    server.faults = [Fault(how="hang")]
    with connect(str(server.kubeconfig), read_timeout=0.2) as api:
        error = failure(lambda: api.list("services"))
    assert error.message == f"the API at 127.0.0.1:{server.port} did not answer /api/v1/services in 0.2 s"
    assert len(server.requests) == 1


def test_a_certificate_of_another_ca_is_not_trusted(server: ReplayServer, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with ReplayServer(None, tmp_path / "elsewhere") as other:
        path = write_kubeconfig(tmp_path / "other", server, cluster={"certificate-authority": str(other.ca)})
        with connect(str(path)) as api:
            error = failure(lambda: api.list("services"))
    assert isinstance(error, ApiError)
    assert error.message.startswith(f"the certificate of the API at 127.0.0.1:{server.port} is not trusted: ")
    assert "certificate-authority" in (error.hint or "")
    assert server.requests == []


def test_a_certificate_for_another_name_is_not_trusted(server: ReplayServer, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "other", server, cluster={"tls-server-name": "example.com"})
    with connect(str(path)) as api:
        assert "is not trusted" in failure(lambda: api.list("services")).message


def test_without_verification_nothing_is_warned_of(server: ReplayServer, tmp_path: Path) -> None:
    cluster = {"insecure-skip-tls-verify": True, "certificate-authority": None}
    path = write_kubeconfig(tmp_path / "other", server, cluster=cluster)
    with connect(str(path)) as api, warnings.catch_warnings(record=True) as heard:
        assert names(api.list("nodes"))
    assert heard == []


def test_a_ca_without_key_identifier_is_trusted_as_by_kubectl(api: KubeApi) -> None:
    api.list("nodes")
    context = api._wire._client.rest_client.pool_manager.connection_pool_kw["ssl_context"]
    assert not context.verify_flags & ssl.VERIFY_X509_STRICT
    assert context.verify_mode == ssl.CERT_REQUIRED


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_that_is_not_there_is_said(
    server: ReplayServer, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    with closed_port() as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}127.0.0.1:{port}")
        with connect(str(server.kubeconfig)) as api:
            error = failure(lambda: api.list("services"))
        assert "through the proxy: Connection refused" in error.message
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        with connect(str(server.kubeconfig)) as api:
            assert names(api.list("services"))


@pytest.mark.parametrize("proxy", ["gopher://user:secret@127.0.0.1:1", "http://[::1", "socks9://x"])
def test_a_proxy_that_cannot_be_used_is_one_line(
    server: ReplayServer, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    error = failure(lambda: connect(str(server.kubeconfig)).list("services"))
    assert isinstance(error, CallError)
    assert "cannot be used" in error.message
    assert "secret" not in error.message


@pytest.mark.parametrize("url", ["https://[::1", "nonsense", "ftp://127.0.0.1", "https://127.0.0.1:99999"])
def test_a_server_that_is_no_address_is_one_line(server: ReplayServer, tmp_path: Path, url: str) -> None:
    path = write_kubeconfig(tmp_path / "other", server, cluster={"server": url})
    error = failure(lambda: connect(str(path)))
    assert isinstance(error, CallError)
    assert f'the server "{url}" is not an address' in error.message


# The kubernetes library


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True, timeout=60
    )


def test_the_kubernetes_library_is_imported_only_when_used() -> None:
    code = """if True:
        import sys
        import kinspect.collect.api_lists
        print([m for m in ("kubernetes", "urllib3", "requests") if m in sys.modules])"""
    assert run_python(code).stdout.strip() == "[]"


def test_nothing_but_the_error_is_said(server: ReplayServer) -> None:
    code = """if True:
        import logging, sys
        logging.basicConfig(level=logging.DEBUG)
        from kinspect.collect.api_lists import connect
        try:
            connect(sys.argv[1]).list("services")
        except Exception as e:
            print(type(e).__name__)"""
    server.faults = [Fault(how="drop")]
    done = run_python(code, str(server.kubeconfig))
    assert (done.stdout, done.stderr) == ("ApiError\n", "")


def test_no_object_of_the_library_is_made_of_an_answer(
    api: KubeApi, server: ReplayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubernetes import client

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a model class is used")

    monkeypatch.setattr(client.ApiClient, "deserialize", fail)
    for model in ("V1Service", "V1ServiceList", "V1ObjectMeta"):
        monkeypatch.setattr(getattr(client, model), "__init__", fail)
    server.lists["services"] = many(600)
    assert len(names(api.list("services"))) == 600


def test_errors_of_urllib3_never_escape(api: KubeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib3 import exceptions

    api.list("nodes")
    pool = api._wire._client.rest_client.pool_manager
    found: list[type[Exception]] = [
        error
        for error in vars(exceptions).values()
        if isinstance(error, type) and issubclass(error, exceptions.HTTPError)
    ]
    assert len(found) > 20
    for error in found:
        raised = error.__new__(error)
        vars(raised).update(partial=b"", expected=1, length=b"")  # what some print
        Exception.__init__(raised, "HTTPSConnectionPool(host='x', port=1): \x1b[2J")
        monkeypatch.setattr(pool, "request", lambda *_, raised=raised, **__: (_ for _ in ()).throw(raised))
        assert failure(lambda: api.list("services")).__cause__ is raised


def test_a_call_error_ends_in_two(tmp_path: Path) -> None:
    error = failure(lambda: connect(str(tmp_path / "missing")))
    assert isinstance(error, CallError)
    assert error.exit_code == ExitCode.CALL
