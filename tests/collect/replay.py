"""An API server that replays recorded lists over real TLS, for the real kubernetes client.

Answers as kube-apiserver does where a client can tell: pages by limit and continue, selectors,
namespaced paths, single objects, Status bodies, gzip from 128 KiB; and fails as a test asks.
"""

from __future__ import annotations

import datetime as dt
import gzip
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.collect import pods

TOKEN = "recorded-token-that-nobody-may-see"
USER = "jane"
RESOURCE_VERSION = "4711"
_CORE = {
    "services": "Service",
    "endpoints": "Endpoints",
    "nodes": "Node",
    "pods": "Pod",
    "namespaces": "Namespace",
}
_SLICES = {"endpointslices": "EndpointSlice"}


@dataclass
class Fault:
    """What goes wrong: for a kind or for all, at most ``times`` (None: always).

    ``status`` answers with it, and with ``body`` or the Status that the API has for it; 410 is
    for requests with a continue token only. ``how`` instead breaks the connection: ``drop``
    halfway through the right body, or ``hang`` before it.
    """

    status: int = 0
    kind: str | None = None
    times: int | None = None
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    how: str = ""
    pod: str | None = None  # of exec: only in this one

    def strikes(self, kind: str, query: dict[str, str], parts: list[str]) -> bool:
        if self.times == 0 or self.kind not in (None, kind) or (self.pod and self.pod not in parts):
            return False
        if self.status == 410 and "continue" not in query:
            return False
        if self.times is not None:
            self.times -= 1
        return True


class ReplayServer:
    """Serves ``folder/api/*.json[.gz]`` on a port of its own until closed; a context manager."""

    def __init__(self, folder: Path | None, tmp_path: Path) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.version: dict[str, Any] = {"major": "1", "minor": "36"}
        for file in sorted((folder / "api").glob("*.json*")) if folder else ():
            packed = file.suffix == ".gz"
            document = json.loads(gzip.decompress(file.read_bytes()) if packed else file.read_bytes())
            if file.name.startswith("version."):
                self.version = document
            else:
                self.lists[file.name.partition(".")[0]] = document["items"]
        self.requests: list[str] = []  # paths with their queries, in order
        self.headers: list[dict[str, str]] = []
        self.faults: list[Fault] = []
        self.has_slices = True  # False: a cluster before discovery.k8s.io/v1
        self.pods = pods.Pods(tmp_path)
        self.released = threading.Event()
        self.ca = write_certificates(tmp_path)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
        context.load_verify_locations(self.ca)
        context.verify_mode = ssl.CERT_OPTIONAL  # a client's certificate is as good as the token
        self._server = _Listener(self, context)
        self.port: int = self._server.server_address[1]
        self.kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> ReplayServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def paths(self) -> list[str]:
        """The requests without their queries."""
        return [urlsplit(request).path for request in self.requests]


def write_kubeconfig(path: Path, server: ReplayServer, **changes: Any) -> Path:
    """A kubeconfig for the server; ``user`` replaces its entry, ``cluster`` keys of its (None: no key)."""
    cluster = {"server": f"https://127.0.0.1:{server.port}", "certificate-authority": str(server.ca)}
    cluster = {
        key: value for key, value in (cluster | changes.get("cluster", {})).items() if value is not None
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "replay",
        "contexts": [
            {"name": "replay", "context": {"cluster": "recorded", "user": USER, "namespace": "shop"}},
            {"name": "production", "context": {"cluster": "recorded", "user": USER}},
        ],
        "clusters": [{"name": "recorded", "cluster": cluster}],
        "users": [{"name": USER, "user": changes.get("user", {"token": TOKEN})}],
    }
    path.write_text(yaml.safe_dump(document))
    return path


class _Listener(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, replay: ReplayServer, context: ssl.SSLContext) -> None:
        self.replay = replay
        self._context = context
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        # Here and not at accept: in the connection's own thread, and only its own failure.
        request.settimeout(30)
        try:
            with self._context.wrap_socket(request, server_side=True) as secured:
                _Handler(secured, client_address, self)
        except OSError:
            pass  # the client went away, or does not trust us: that is the test

    def shutdown_request(self, request: Any) -> None:
        request.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the acknowledgement of its head
    server: _Listener
    connection: ssl.SSLSocket

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        replay = self.server.replay
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        replay.requests.append(self.path)
        replay.headers.append(dict(self.headers))
        parts = url.path.strip("/").split("/")
        kind = next((p for p in reversed(parts) if p in {*_CORE, *_SLICES, "exec"}), parts[-1])
        for fault in replay.faults:
            if fault.strikes(kind, query, parts):
                self._fail(fault, kind, parts, query)
                return
        known = self.headers.get("Authorization", "").lower() == f"bearer {TOKEN}"
        if not known and not self.connection.getpeercert():
            self._send(401, _status(401, "Unauthorized", "Unauthorized"))
            return
        if parts[-1] == "exec":
            self._exec(parts[3], parts[5], parse_qs(url.query))
            return
        self._send(*self._answer(parts, query))

    def _exec(self, namespace: str, pod: str, query: dict[str, list[str]], cut: bool = False) -> None:
        """Run a command in a pod; ``cut``: half of its output, and no end."""
        listed = [item for item in self.server.replay.lists["pods"] if item["metadata"]["name"] == pod]
        if not listed or listed[0]["metadata"]["namespace"] != namespace:
            self._send(404, _status(404, "NotFound", f'pods "{pod}" not found'))
            return
        container = query["container"][0]
        if container not in [each["name"] for each in listed[0]["spec"]["containers"]]:
            message = f"container {container} is not valid for pod {pod}"
            self._send(400, _status(400, "BadRequest", message))
            return
        protocol = self.server.replay.pods.accept(self.headers.get("Sec-WebSocket-Protocol", ""))
        if self.headers.get("Upgrade", "").lower() != "websocket" or protocol is None:
            self._send(400, _status(400, "BadRequest", "Upgrade request required"))
            return
        self.close_connection = True
        self.send_response(101)
        for name, value in {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Accept": pods.accepted(self.headers["Sec-WebSocket-Key"]),
            "Sec-WebSocket-Protocol": protocol,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        output, errors, end = self.server.replay.pods.run(pod, query["command"])
        if cut:
            pods.stream(self.wfile, output[: len(output) // 2], b"", None)
        else:
            pods.stream(self.wfile, output, errors, end)
            while self.rfile.read(1):  # a connection closed with a pong unread is reset, with what was sent
                pass

    def _answer(self, parts: list[str], query: dict[str, str]) -> tuple[int, bytes]:
        replay = self.server.replay
        if parts == ["version"]:
            return 200, json.dumps(replay.version).encode()
        missing = 404, b"404 page not found\n"
        if parts[:2] == ["api", "v1"]:
            kinds, rest, version = _CORE, parts[2:], "v1"
        elif parts[:3] == ["apis", "discovery.k8s.io", "v1"] and replay.has_slices:
            kinds, rest, version = _SLICES, parts[3:], "discovery.k8s.io/v1"
        else:
            return missing
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        kind, name = rest[0], rest[1] if len(rest) > 1 else None
        if kind not in kinds or len(rest) > 2:
            return missing
        items = replay.lists.get(kind, [])
        if namespace is not None:
            items = [item for item in items if item["metadata"].get("namespace") == namespace]
        if name is not None:
            for item in items:
                if item["metadata"]["name"] == name:
                    return 200, _json({"kind": kinds[kind], "apiVersion": version} | item)
            return 404, _status(404, "NotFound", f'{kind} "{name}" not found')
        return 200, _page(kinds[kind], version, _selected(items, query), query)

    def _fail(self, fault: Fault, kind: str, parts: list[str], query: dict[str, str]) -> None:
        if fault.how == "hang":
            self.server.replay.released.wait(30)
            self.close_connection = True
        elif fault.how == "drop" and kind == "exec":
            self._exec(parts[3], parts[5], parse_qs(urlsplit(self.path).query), cut=True)
        elif fault.how == "drop":
            _, body = self._answer(parts, query)
            self._head(200, len(body), {})
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True  # and no TLS goodbye, as of a server that is killed
        else:
            body = _status_for(fault.status, kind, parts) if fault.body is None else fault.body
            self._send(fault.status, body, fault.headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        headers = dict(headers or {})
        if len(body) > 128 * 1024 and "gzip" in self.headers.get("Accept-Encoding", ""):
            headers["Content-Encoding"] = "gzip"
            body = gzip.compress(body, 1)
        self._head(status, len(body), headers)
        self.wfile.write(body)

    def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()


def _selected(items: list[dict[str, Any]], query: dict[str, str]) -> list[dict[str, Any]]:
    for term in filter(None, query.get("labelSelector", "").split(",")):
        key, _, value = term.partition("=")
        items = [item for item in items if item["metadata"].get("labels", {}).get(key) == value]
    if field_selector := query.get("fieldSelector"):
        name = field_selector.removeprefix("metadata.name=")
        items = [item for item in items if item["metadata"]["name"] == name]
    return items


def _page(kind: str, version: str, items: list[dict[str, Any]], query: dict[str, str]) -> bytes:
    start = int(query.get("continue", "0"))
    end = start + int(query.get("limit", len(items)))
    metadata: dict[str, Any] = {"resourceVersion": RESOURCE_VERSION}
    if end < len(items):
        metadata |= {"continue": str(end), "remainingItemCount": len(items) - end}
    return _json(
        {"kind": f"{kind}List", "apiVersion": version, "metadata": metadata, "items": items[start:end]}
    )


def _json(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _status(code: int, reason: str, message: str) -> bytes:
    return _json(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
    )


def _status_for(code: int, kind: str, parts: list[str]) -> bytes:
    if code == 403:
        group = parts[1] if parts[0] == "apis" else ""
        namespaced = "namespaces" in parts[:-1] and parts[-2] != "namespaces"
        scope = f'in the namespace "{parts[parts.index("namespaces") + 1]}"' if namespaced else ""
        if kind == "exec":
            kind, scope = "pods", f'in the namespace "{parts[3]}"'
            message = f'pods "{parts[5]}" is forbidden: User "{USER}" cannot get resource "pods/exec" in API group "" {scope}'
            return _status(403, "Forbidden", message)
        verb = "list" if parts[-1] == kind else "get"
        what = kind if verb == "list" else f'{kind} "{parts[-1]}"'
        message = (
            f'{what} is forbidden: User "{USER}" cannot {verb} resource "{kind}" in API group "{group}" '
            + (scope or "at the cluster scope")
        )
        return _status(403, "Forbidden", message)
    reason, message = {
        401: ("Unauthorized", "Unauthorized"),
        410: ("Expired", "The provided continue parameter is too old to display a consistent list result."),
        429: ("TooManyRequests", "too many requests, please try again later"),
        500: ("InternalError", "Internal error occurred: etcdserver: request timed out"),
    }.get(code, ("Unknown", "unknown"))
    return _status(code, reason, message)


def write_certificates(folder: Path) -> Path:
    """Writes ca.pem, and server.pem and client.pem with their keys; returns the first.

    None has key identifiers, like those that some installers make: kubectl does not ask for them.
    """
    pem = serialization.Encoding.PEM
    issuer = ec.generate_private_key(ec.SECP256R1())
    ca = (
        _certificate("replay-ca", issuer)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    for file, subject in (("server.pem", "kube-apiserver"), ("client.pem", USER)):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _certificate(subject, key)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(issuer, hashes.SHA256())
        )
        (folder / file).write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            + certificate.public_bytes(pem)
        )
    return folder / "ca.pem"


def _certificate(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("replay-ca"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])


@contextmanager
def closed_port() -> Iterator[int]:
    """A port at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
