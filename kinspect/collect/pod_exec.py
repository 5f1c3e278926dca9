"""A command in a pod, as ``kubectl exec`` runs it: one WebSocket of the Kubernetes API each.

The kubernetes library's own ``stream`` is not used: it swaps a method of the client that threads
share, knows no time limit for connecting, refuses the certificates that ``wire`` accepts, and makes
every failure an exception of status 0. Underneath it is websocket-client too.

Sources: k8s.io/apimachinery, util/remotecommand (channels, sub-protocols and the Status at the
end), and client-go's tools/remotecommand.
"""

from __future__ import annotations

import re
import shlex
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote, urlencode, urlsplit

import msgspec

from kinspect.collect.http import Answer, Wire
from kinspect.collect.node_output import Section
from kinspect.errors import NodeError
from kinspect.sanitise import quoted

# Version 5 adds a way to close standard input, which is never opened here; API servers before 1.30
# know only version 4.
PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_OUTPUT, _ERRORS, _STATUS = 1, 2, 3
_LARGEST: Final = 1 << 30  # bytes of one command
_NOT_THERE: Final = (126, 127)  # what cri-dockerd and crun end with, in place of a message
# containerd and CRI-O, with runc or crun: "executable file not found in $PATH", "exec: "/x": stat /x: …"
_NO_FILE: Final = re.compile(r"executable file .*not found|stat .*no such file or directory", re.S)


@dataclass(frozen=True, slots=True)
class ExecPod:
    """A container that commands can be run in."""

    namespace: str
    name: str
    container: str

    def __str__(self) -> str:
        return quoted(f"{self.namespace}/{self.name}")


class _Cause(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _Details(msgspec.Struct, frozen=True):
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct, frozen=True):
    """How the command ended: the kind Status of meta/v1."""

    status: str
    message: str = ""
    details: _Details | None = None

    @property
    def exit_code(self) -> int | None:
        """The command's exit status; None if it did not run."""
        if self.status == "Success":
            return 0
        for cause in (self.details and self.details.causes) or ():
            if cause.reason == "ExitCode" and cause.message.isdecimal():
                return int(cause.message[:9])
        return None


class PodExec:
    """Runs commands in pods. Threads may share it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._lock = threading.Lock()
        self._open: set[Any] = set()
        self._closed = False
        self._context: ssl.SSLContext | None = None

    def run(self, pod: ExecPod, argv: Sequence[str], deadline: float) -> Section | None:
        """The output and exit status of a command; None if the pod has no such program.

        ``deadline`` is of ``time.monotonic``. Raises NodeError: refused, cut, out of time.
        """
        import websocket

        try:
            socket = self._connect(pod, argv, deadline)
            try:
                found = _read(socket, deadline)
            finally:
                with self._lock:
                    self._open.discard(socket)
                socket.shutdown()
        except websocket.WebSocketBadStatusException as error:
            raise _refused(pod, Answer(error.status_code, error.resp_body or b"")) from error
        except (websocket.WebSocketTimeoutException, TimeoutError) as error:
            raise NodeError(
                f"pod {pod}: {quoted(argv[0])} did not finish within the time limit",
                hint="raise the limit with --timeout SECONDS",
            ) from error
        except (websocket.WebSocketException, OSError, ValueError) as error:
            if self._closed:
                raise NodeError("interrupted") from error
            raise NodeError(
                f"pod {pod}: the connection was cut while {quoted(argv[0])} ran: {_reason(error)}",
                hint="try again",
            ) from error
        return _section(pod, argv, *found)

    def close(self) -> None:
        """End all running commands; no further ones are started."""
        with self._lock:
            self._closed = True
            sockets = list(self._open)
        for socket in sockets:
            socket.abort()

    def _connect(self, pod: ExecPod, argv: Sequence[str], deadline: float) -> Any:
        import websocket

        configuration, headers = self._wire.target()
        query = [("container", pod.container), *(("command", word) for word in argv)]
        path = f"/api/v1/namespaces/{quote(pod.namespace, safe='')}/pods/{quote(pod.name, safe='')}/exec"
        url = f"{configuration.host}{path}?{urlencode([*query, ('stdout', 'true'), ('stderr', 'true')])}"
        with self._lock:
            if self._context is None:
                self._context = _tls(configuration)
        sslopt: dict[str, Any] = {"context": self._context}
        if configuration.tls_server_name:
            sslopt["server_hostname"] = configuration.tls_server_name
        socket: Any = websocket.WebSocket(sslopt=sslopt, skip_utf8_validation=True)
        with self._lock:
            if self._closed:
                raise NodeError("interrupted")
            self._open.add(socket)
        try:
            socket.connect(
                re.sub("^http", "ws", url),
                header=headers,
                subprotocols=list(PROTOCOLS),
                timeout=_left(deadline),
                suppress_origin=True,
                redirect_limit=0,  # the token is for this server alone
                **_proxy(configuration),
            )
            if socket.getstatus() != 101:  # releases before 1.9 take a redirection for a success
                raise websocket.WebSocketException(f"it was redirected ({socket.getstatus()})")
        except BaseException:
            with self._lock:
                self._open.discard(socket)
            raise
        return socket


def _read(socket: Any, deadline: float) -> tuple[bytes, bytes, bytes]:
    """Output, errors and status. Raises ConnectionError for a stream that ends without a status."""
    import websocket

    channels: dict[int, bytearray] = {}
    size = 0
    while True:
        # The status comes last, and the server closes; one that does not is not waited for.
        socket.settimeout(min(_left(deadline), 1.0) if _STATUS in channels else _left(deadline))
        try:
            code, frame = socket.recv_data_frame(control_frame=True)
        except (websocket.WebSocketException, OSError):
            if _STATUS in channels:
                break
            raise
        if code == websocket.ABNF.OPCODE_CLOSE:
            break
        if code not in (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT) or not frame.data:
            continue
        channels.setdefault(frame.data[0], bytearray()).extend(frame.data[1:])
        size += len(frame.data)
        if size > _LARGEST:
            raise NodeError(f"a command sends more than {_LARGEST >> 20} MiB")
    if _STATUS not in channels:
        raise ConnectionError("it was closed before the command's end")
    return tuple(bytes(channels.get(n, b"")) for n in (_OUTPUT, _ERRORS, _STATUS))  # type: ignore[return-value]


def _section(pod: ExecPod, argv: Sequence[str], output: bytes, errors: bytes, end: bytes) -> Section | None:
    try:
        status = msgspec.json.decode(end, type=_Status)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise NodeError(f"pod {pod}: how {quoted(argv[0])} ended cannot be read") from error
    code = status.exit_code
    if code in _NOT_THERE or (code is None and _NO_FILE.search(status.message)):
        return None
    if code is None:
        raise _failed(pod, status.message)
    heard = quoted(errors.decode("utf-8", "replace").strip())
    return Section(output, code, heard, shlex.join(argv))


def _refused(pod: ExecPod, answer: Answer) -> NodeError:
    """What an answer other than 101 Switching Protocols means."""
    if answer.status == 403:
        # A WebSocket is a GET, and asks for "get"; newer releases ask for "create" too.
        who = re.match(r'.*?User "([^"]*)" cannot (get|create) resource', answer.message or "", re.S)
        if who is None:  # a refusal from elsewhere: an admission webhook, a proxy
            return NodeError(f"commands in pod {pod} are refused: {answer.excerpt}")
        return NodeError(
            f'user "{quoted(who[1])}" may not run commands in pods of namespace {quoted(pod.namespace)}'
            f' (verb {who[2]}, resource pods/exec, API group "")',
            hint="a role must grant the verbs get and create; compare:"
            f" kubectl auth can-i create pods --subresource=exec -n {quoted(pod.namespace)}",
        )
    if answer.status == 404:
        return NodeError(f"pod {pod} is gone: {answer.excerpt}", hint="try again")
    return _failed(pod, answer.message or f"{answer.status} {answer.excerpt}")


def _failed(pod: ExecPod, message: str) -> NodeError:
    """What the API or the kubelet says instead of running a command."""
    if "container not found" in message or "is not valid for pod" in message:
        return NodeError(
            f"pod {pod} has no running container {quoted(pod.container)}: {quoted(message)}",
            hint="--exec-container NAME",
        )
    if "error dialing backend" in message:
        return NodeError(
            f"the API does not reach the node's kubelet: {quoted(message)}", hint="is the node up?"
        )
    return NodeError(f"pod {pod}: no command can be run: {quoted(message)}")


def _tls(configuration: Any) -> ssl.SSLContext:
    """The TLS settings, the same as those of ``http``."""
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl or configuration.assert_hostname is False:
        context.check_hostname = False
    if not configuration.verify_ssl:
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _proxy(configuration: Any) -> dict[str, Any]:
    if not configuration.proxy:
        return {}
    proxy = urlsplit(configuration.proxy)
    found: dict[str, Any] = {
        "http_proxy_host": proxy.hostname,
        "http_proxy_port": proxy.port or 80,
        "proxy_type": proxy.scheme if proxy.scheme.startswith("socks") else "http",
    }
    if proxy.username:
        found["http_proxy_auth"] = (unquote(proxy.username), unquote(proxy.password or ""))
    if configuration.no_proxy:
        found["http_no_proxy"] = [host.strip() for host in configuration.no_proxy.split(",")]
    return found


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: Exception) -> str:
    """The reason of the operating system or the library, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return quoted(error.strerror)
    return quoted(str(error) or type(error).__name__)
