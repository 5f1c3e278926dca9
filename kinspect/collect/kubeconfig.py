"""The cluster to read and the user to read it as, by kubectl's rules.

``--kubeconfig``, else the files of ``KUBECONFIG``, else ``~/.kube/config``, else the service
account of the pod that this runs in. If files are merged, the first one that names a thing wins.
Source: client-go, tools/clientcmd (``loader.go``, ``client_config.go``).

The kubernetes library reads the credentials. The names are read here first, because the library
lets the last file set the current context, and because its messages may quote a user's entry,
with the token in it.
"""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import re
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kinspect.errors import ApiError, CallError
from kinspect.sanitise import quoted

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_ELSE = "give --kubeconfig FILE, or use no cluster: --snapshot PATH, --rules FILE or --demo"


class _Plugin(msgspec.Struct, frozen=True, rename="camel"):
    command: str | None = None
    install_hint: str | None = None


class _User(msgspec.Struct, frozen=True):
    exec: _Plugin | None = None


class _Cluster(msgspec.Struct, frozen=True):
    server: str | None = None


class _Context(msgspec.Struct, frozen=True):
    cluster: str | None = None
    user: str | None = None
    namespace: str | None = None


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: _User | None = None


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: _Cluster | None = None


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: _Context | None = None


class _Kubeconfig(msgspec.Struct, frozen=True, rename="kebab"):
    current_context: str | None = None
    contexts: list[_NamedContext] | None = None
    clusters: list[_NamedCluster] | None = None
    users: list[_NamedUser] | None = None


@dataclass(frozen=True, slots=True)
class Access:
    """A cluster and a user of it, found but not yet used.

    ``files`` is empty, and ``context`` None, for the service account of a pod.
    """

    files: tuple[str, ...]
    context: str | None
    namespace: str  # what -n defaults to
    plugin: _Plugin | None = None  # the command that brings the user's credentials

    @property
    def where(self) -> str:
        """The kubeconfig and the context, for messages."""
        if self.context is None:
            return "the pod's service account"
        return f'context "{quoted(self.context)}" of {_named(self.files)}'


def find(kubeconfig: str | None = None, context: str | None = None) -> Access:
    """The cluster and user that kubectl would use with these options. Does not connect.

    Raises CallError: no kubeconfig, one that cannot be read, no such context, user or cluster.
    """
    read = {path: _read(path, required=bool(kubeconfig)) for path in _paths(kubeconfig)}
    files = {path: names for path, names in read.items() if names is not None}
    contexts = _first(files, "contexts")
    if not contexts and not kubeconfig and not context and _in_pod():
        return Access((), None, _pod_namespace())
    if not files:
        looked = ", ".join(quoted(path) for path in read)
        raise CallError(
            f"no kubeconfig: {looked} is {'empty' if kubeconfig else 'not there, or empty'}", hint=_ELSE
        )
    paths = tuple(files)
    # client-go treats an empty current-context as none, and continues with the next file.
    wanted = context or next((f.current_context for f in files.values() if f.current_context), None)
    if wanted is None:
        raise CallError(f"{_named(paths)} sets no current context", hint=_choice(list(contexts), None))
    if wanted not in contexts:
        raise CallError(
            f'no context "{quoted(wanted)}" in {_named(paths)}', hint=_choice(list(contexts), wanted)
        )
    chosen = contexts[wanted].context or _Context()
    access = Access(paths, wanted, chosen.namespace or "default")
    cluster = _first(files, "clusters").get(chosen.cluster or "")
    if cluster is None or cluster.cluster is None or not cluster.cluster.server:
        raise CallError(
            f'{access.where} means the cluster "{quoted(chosen.cluster or "")}", which has no server there'
        )
    if not _is_address(cluster.cluster.server):
        raise CallError(
            f'{access.where}: the server "{quoted(cluster.cluster.server)}" is not an address (https://HOST:PORT)'
        )
    if not chosen.user:
        return access
    user = _first(files, "users").get(chosen.user)
    if user is None:
        raise CallError(f'{access.where} means the user "{quoted(chosen.user)}", which is not there')
    return Access(paths, wanted, access.namespace, user.user.exec if user.user else None)


def load(access: Access) -> Any:
    """The kubernetes library's Configuration, with credentials; runs a credential plugin.

    Raises CallError if the kubeconfig cannot be used, ApiError if its plugin fails.
    """
    client = importlib.import_module("kubernetes.client")
    config = importlib.import_module("kubernetes.config")
    configuration = client.Configuration()
    with credentials(access):
        if access.files:
            # Always by name: the library reads KUBECONFIG only once, when it is imported.
            config.load_kube_config(os.pathsep.join(access.files), access.context, configuration)
        else:
            config.load_incluster_config(configuration)
    if not configuration.proxy:  # kubectl heeds these; not every version of the library does
        proxies = urllib.request.getproxies_environment()
        configuration.proxy = proxies.get(configuration.host.partition(":")[0]) or proxies.get("all")
        configuration.no_proxy = configuration.no_proxy or proxies.get("no")
    if configuration.proxy and "://" not in configuration.proxy:
        configuration.proxy = f"http://{configuration.proxy}"  # as kubectl and curl read HOST:PORT
    return configuration


@contextmanager
def credentials(access: Access) -> Iterator[None]:
    """Turns errors of the library, while it gets credentials, into errors of kinspect."""
    try:
        with _overheard() as complaints:
            yield
    except Exception as e:  # the library lets KeyError, TypeError, binascii.Error, … through
        reason = _reason(e)
        # A message of the library may hold the token: the chain is cut unless it is shown whole.
        raise CallError(f"{access.where} cannot be used: {reason}") from (
            e if isinstance(e, OSError) else None
        )
    if not complaints:
        return
    # The library logs that the plugin failed, and goes on without credentials.
    plugin = access.plugin or _Plugin()
    raise ApiError(
        f'the credential plugin "{quoted(plugin.command or "?")}" of {access.where} failed: '
        + quoted(re.sub(r"^(exec: |\[Errno \d+\] )", "", complaints[0])),
        hint=quoted(plugin.install_hint) if plugin.install_hint else "kubectl runs it too: see its error",
    )


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collects what this thread logs at the root logger, instead of printing it."""
    heard: list[str] = []
    thread = threading.get_ident()

    def keep(record: logging.LogRecord) -> bool:
        if record.thread != thread:
            return True
        heard.append(record.getMessage())
        return False

    root = logging.getLogger()
    handler = logging.NullHandler()  # without any handler, logging.error() installs one for good
    root.addHandler(handler)
    root.addFilter(keep)
    try:
        yield heard
    finally:
        root.removeFilter(keep)
        root.removeHandler(handler)


def _reason(e: Exception) -> str:
    """The part of an error that is safe to show; its text may quote the kubeconfig."""
    if isinstance(e, OSError) and e.strerror:
        return quoted(f"{e.filename}: {e.strerror}" if e.filename else e.strerror)
    text = str(e)
    if text.startswith(("File does not exist: ", "Service ", "Token file ", "Cert file ")):
        return quoted(text)
    if missing := re.search(r"Expected key (\S+) in ", text):
        return f'the key "{quoted(missing[1])}" is missing'
    return f"the Kubernetes library cannot read its credentials ({type(e).__name__})"


def _paths(kubeconfig: str | None) -> list[str]:
    listed = (
        [kubeconfig] if kubeconfig else (os.environ.get("KUBECONFIG") or "~/.kube/config").split(os.pathsep)
    )
    return list(dict.fromkeys(os.path.expanduser(path) for path in listed if path))  # noqa: PTH111  Path's raises


def _read(path: str, required: bool) -> _Kubeconfig | None:
    """The names in a kubeconfig; None if it is empty, like /dev/null, or missing."""
    import yaml

    try:
        return msgspec.convert(yaml.safe_load(Path(path).read_bytes()), _Kubeconfig | None)
    except OSError as e:
        if isinstance(e, FileNotFoundError) and not required:  # kubectl ignores it too
            return None
        raise CallError(f"cannot read kubeconfig {quoted(path)}: {e.strerror}", hint=_ELSE) from e
    except msgspec.ValidationError as e:
        raise CallError(f"{quoted(path)} is not a kubeconfig: {quoted(str(e))}") from e
    except yaml.MarkedYAMLError as e:
        # Not YAML's own message, and not the words in it: they quote the file, where tokens are.
        line = f":{e.problem_mark.line + 1}" if e.problem_mark else ""
        problem = re.sub(r"['\"].*['\"]", "…", e.problem or "it cannot be parsed")
        raise CallError(f"kubeconfig {quoted(path)}{line} is not valid YAML: {quoted(problem)}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise CallError(
            f"kubeconfig {quoted(path)} is not valid YAML: it is not text, or holds no settings"
        ) from None


def _first(files: dict[str, _Kubeconfig], kind: str) -> dict[str, Any]:
    """Entries by name; of two with the same name, the first."""
    found: dict[str, Any] = {}
    for file in files.values():
        for entry in getattr(file, kind) or ():
            found.setdefault(entry.name, entry)
    return found


def _is_address(server: str) -> bool:
    try:
        url = urlsplit(server)
        return url.scheme in ("https", "http") and bool(url.hostname) and url.port != 0
    except ValueError:  # a bracket that is not closed, a port beyond 65535
        return False


def _named(files: tuple[str, ...]) -> str:
    return ", ".join(quoted(file) for file in files)


def _choice(contexts: list[str], wanted: str | None) -> str:
    """A hint with the existing contexts, similar names first."""
    if not contexts:
        return "it has no contexts"
    near = difflib.get_close_matches(wanted or "", contexts)
    listed = ", ".join(quoted(name) for name in [*near, *(c for c in contexts if c not in near)][:10])
    more = f" and {len(contexts) - 10} more" if len(contexts) > 10 else ""
    meant = f"did you mean {quoted(near[0])}? " if near else "choose one with --context; "
    return f"{meant}there are: {listed}{more}"


def _in_pod() -> bool:
    """Whether a service account can be used, as client-go decides it."""
    environ = os.environ
    return bool(
        environ.get("KUBERNETES_SERVICE_HOST")
        and environ.get("KUBERNETES_SERVICE_PORT")
        and (SERVICE_ACCOUNT / "token").is_file()
    )


def _pod_namespace() -> str:
    try:
        return (SERVICE_ACCOUNT / "namespace").read_text().strip() or "default"
    except OSError:
        return "default"
