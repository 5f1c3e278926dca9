"""One GET of the Kubernetes API: credentials, time limits, another try, and errors in one line.

The kubernetes library gives what is hard (kubeconfig, credential plugins, TLS, proxies), and its
connection pool is used directly: the generated methods would make a Python object of each field
of 5,000 services, and their way to raw bytes differs between the releases 31 and 37.
"""

from __future__ import annotations

import http.client
import importlib
import logging
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kinspect import __version__
from kinspect.collect import kubeconfig
from kinspect.errors import ApiError, CallError, KinspectError
from kinspect.sanitise import quoted

TRIES = 3  # a GET changes nothing, so it may be sent again
LONGEST_WAIT = 10.0  # seconds that a Retry-After may ask for, each time
_PROXY = "it comes from HTTPS_PROXY or the kubeconfig's proxy-url; NO_PROXY lists what needs none"


class _Status(msgspec.Struct, frozen=True):
    """The API's own reason for an error: the kind Status of meta/v1."""

    kind: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The API's answer: 200, or 403, 404 or 410, whose meaning depends on the request."""

    status: int
    body: bytes

    @property
    def message(self) -> str | None:
        """The message of the Status in the body, unchanged; None if the body is not a Status."""
        try:
            status = msgspec.json.decode(self.body, type=_Status)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        return status.message if status.kind == "Status" else None

    @property
    def excerpt(self) -> str:
        """The message, else the beginning of the body, made safe to show."""
        if (message := self.message) is not None:
            return quoted(message)
        return quoted(self.body[:400].decode(errors="replace"), 80) or "nothing"


class Wire:
    """The API server of an Access. Connects when first used; threads may share it."""

    def __init__(self, access: kubeconfig.Access, connect_timeout: float, read_timeout: float) -> None:
        self._access = access
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._lock = threading.Lock()
        self._client: Any = None

    def get(self, path: str, query: Mapping[str, str]) -> Answer:
        """The answer to a GET of the path; tried again if the connection broke or the API asks for it.

        Raises ApiError: unreachable, not trusted, too slow, broken off, not authenticated, failing.
        Raises CallError if the kubeconfig cannot be used at all.
        """
        import urllib3

        client = self._connected()
        for tries_left in reversed(range(TRIES)):
            headers = self._headers(client)
            try:
                response = client.rest_client.pool_manager.request(
                    "GET",
                    client.configuration.host + path,
                    fields=dict(query),
                    headers=headers,
                    timeout=urllib3.Timeout(connect=self._connect_timeout, read=self._read_timeout),
                    retries=False,  # urllib3's own would wrap each reason in three more
                    redirect=False,  # the token is for this server alone
                )
            except urllib3.exceptions.HTTPError as e:
                if _broke_off(e) and tries_left:
                    continue
                raise self._failure(e, path) from e
            except OSError as e:
                raise ApiError(f"cannot use the API at {self.server}: {_strerror(e)}") from e
            except ValueError:
                # http.client refuses a line break in a header, and quotes it: the token.
                raise CallError(
                    f"the credentials or the server of {self._access.where} cannot be sent"
                ) from None
            # Not only 429: like client-go, heed any answer that names a time to come back.
            if tries_left and response.status >= 429 and "Retry-After" in response.headers:
                time.sleep(_seconds(response.headers["Retry-After"]))
                continue
            return self._judged(Answer(response.status, response.data), path)
        raise AssertionError("the last try returns or raises")

    def target(self) -> tuple[Any, dict[str, str]]:
        """The library's configuration and the headers to send, for a connection that is not a GET.

        Raises CallError, ApiError if there are no credentials.
        """
        client = self._connected()
        headers = self._headers(client)
        return client.configuration, {name: headers[name] for name in headers if name != "Accept-Encoding"}

    @property
    def server(self) -> str:
        """Host and port, for messages."""
        host = self._client.configuration.host if self._client else ""
        return quoted(urlsplit(host).netloc.rpartition("@")[2]) or quoted(host)

    def close(self) -> None:
        """Closes the connections; the next get opens them again."""
        with self._lock:
            if self._client is not None:
                self._client.close()
                self._client = None

    def _connected(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = _client(self._access)
            return self._client

    def _headers(self, client: Any) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",  # 20 MB of EndpointSlices become 1; the API packs from 128 KiB
            "User-Agent": f"kinspect/{__version__}",
        }
        # May run the credential plugin again, whose token may have expired since; one at a time.
        with self._lock, kubeconfig.credentials(self._access):
            for setting in client.configuration.auth_settings().values():
                if setting["in"] == "header" and setting["value"]:
                    # A token read from a file ends in a line break, which no header may.
                    headers[setting["key"]] = setting["value"].strip()
        return headers

    def _judged(self, answer: Answer, path: str) -> Answer:
        status = answer.status
        if status in (200, 403, 404, 410):
            return answer
        if status == 401:
            raise ApiError(
                f"the API at {self.server} does not accept the credentials of {self._access.where}",
                hint="they may have expired: log in again, and check that kubectl works",
            )
        if status == 429:
            raise ApiError(
                f"the API at {self.server} is overloaded (429): {answer.excerpt}", hint="try again later"
            )
        if 300 <= status < 400:
            raise ApiError(
                f"the API at {self.server} redirects {path} ({status})",
                hint="is the server in the kubeconfig the API itself, and not a login page?",
            )
        verb = "failed" if status >= 500 else "refused"
        raise ApiError(f"the API at {self.server} {verb}: {status} for {path}: {answer.excerpt}")

    def _failure(self, e: Exception, path: str) -> KinspectError:
        """The meaning of an urllib3 error, without the repr in its message."""
        from urllib3 import exceptions
        from urllib3.util.ssl_match_hostname import CertificateError

        server = self.server
        # urllib3 1.26 compares the names of a certificate itself, and has its own error for it.
        distrust = ssl.SSLCertVerificationError, CertificateError
        cause = next((c for c in _causes(e) if isinstance(c, distrust)), None)
        if cause is not None:
            why = quoted(getattr(cause, "verify_message", None) or str(cause))
            return ApiError(
                f"the certificate of the API at {server} is not trusted: {why}",
                hint="compare the server and certificate-authority of the cluster in the kubeconfig",
            )
        if isinstance(e, exceptions.LocationValueError):
            return CallError(f"the server of {self._access.where} is not an address: {quoted(str(e))}")
        if isinstance(e, exceptions.ReadTimeoutError):
            return ApiError(f"the API at {server} did not answer {path} in {self._read_timeout:g} s")
        if _broke_off(e):
            return ApiError(
                f"the connection to the API at {server} was cut while {path} was read",
                hint=f"tried {TRIES} times",
            )
        if isinstance(e, exceptions.SSLError):
            return ApiError(
                f"TLS with the API at {server} failed: {_strerror(e)}",
                hint="compare certificate-authority, client-certificate and client-key in the kubeconfig",
            )
        if isinstance(e, exceptions.ProxyError):
            return ApiError(
                f"cannot reach the API at {server} through the proxy: {_strerror(e)}",
                hint=_PROXY,
            )
        # NewConnectionError is a ConnectTimeoutError too, in urllib3 1.26.
        if isinstance(e, exceptions.ConnectTimeoutError) and not isinstance(e, exceptions.NewConnectionError):
            return ApiError(f"cannot reach the API at {server}: no answer in {self._connect_timeout:g} s")
        return ApiError(
            f"cannot reach the API at {server}: {_strerror(e)}",
            hint=f"the server comes from {self._access.where}; --snapshot and --rules need none",
        )


def _client(access: kubeconfig.Access) -> Any:
    import urllib3

    configuration = kubeconfig.load(access)
    try:
        client = importlib.import_module("kubernetes.client").ApiClient(configuration)
    except Exception as e:  # a scheme that urllib3 does not know, SOCKS without its package, …
        # The address is not shown: it may hold a password.
        raise CallError(
            f"the proxy for {access.where} cannot be used ({type(e).__name__})", hint=_PROXY
        ) from e
    # Whatever the log settings of the library: our message says it all.
    logging.getLogger("urllib3").propagate = False
    pool = client.rest_client.pool_manager
    if configuration.verify_ssl:
        # From 3.13, Python refuses a CA without an Authority Key Identifier, such as many
        # clusters made for themselves, and kubectl trusts. So build what urllib3 would, less that.
        context = urllib3.util.ssl_.create_urllib3_context()
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if not configuration.ssl_ca_cert:
            context.load_default_certs()
        pool.connection_pool_kw["ssl_context"] = context
    else:
        # Chosen in the kubeconfig; kubectl does not warn at each request either.
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    return client


def _causes(e: BaseException) -> list[BaseException]:
    """The error and its causes; urllib3 keeps those as cause, as context or as argument."""
    found: list[BaseException] = []
    todo: list[object] = [e]
    while todo:
        error = todo.pop(0)
        if isinstance(error, BaseException) and error not in found:
            found.append(error)
            todo += [error.__cause__, *error.args, error.__context__]
    return found


def _broke_off(e: Exception) -> bool:
    """Whether the connection was established, and then ended too early."""
    from urllib3 import exceptions

    early = exceptions.ProtocolError, exceptions.DecodeError, http.client.HTTPException
    return isinstance(e, early) or any(
        isinstance(cause, (ssl.SSLEOFError, ConnectionResetError)) for cause in _causes(e)
    )


def _strerror(e: BaseException) -> str:
    """The reason of the operating system or of OpenSSL, if one of them is the cause."""
    for cause in _causes(e):
        if isinstance(cause, ssl.SSLError):
            # "[SSL] PEM lib (_ssl.c:3905)": the brackets are Python's.
            words = cause.reason or re.sub(
                r"^\[[^]]*\] ?| ?\(_ssl\.c:\d+\)$", "", cause.strerror or str(cause)
            )
            return quoted(words.replace("_", " ").lower())
        if isinstance(cause, OSError) and cause.strerror:
            return quoted(cause.strerror)
    return quoted(str(e).rpartition(": ")[2])


def _seconds(retry_after: str) -> float:
    """The seconds of a Retry-After, up to a limit; its other form, a date, counts as one second."""
    return min(float(retry_after), LONGEST_WAIT) if retry_after.isdecimal() else 1.0
