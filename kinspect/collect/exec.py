"""Nodes through the Kubernetes API: commands in a pod that runs on the node with its network.

kube-proxy's own pod, or a network plugin's agent, has the host's network and the tools. Each command
is an argument list: such an image may have no shell. What it does not have, often ``ip`` and
``sysctl``, brings no file; who reads the snapshot says what is then not known.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import msgspec

from kinspect.collect.node_output import Ground, Section, cut, node_files
from kinspect.collect.options import ExecOptions
from kinspect.collect.pod_exec import ExecPod, PodExec
from kinspect.collect.ports import ClusterApi, RemoteNode
from kinspect.errors import ApiError, NodeError
from kinspect.sanitise import quoted
from kinspect.snapshot import types as names
from kinspect.snapshot.types import Files

# The dumps and the connections have functions of their own below.
COMMANDS: Final = tuple(
    (file.name, argv)
    for file in names.NODE_FILES.values()
    if file.redacted not in ("rules", "connections")
    for argv in file.commands
)


class _Named(msgspec.Struct, frozen=True):
    name: str


class _Meta(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    namespace: str
    annotations: dict[str, str] | None = None
    deletion_timestamp: str | None = None


class _Spec(msgspec.Struct, frozen=True, rename="camel"):
    containers: list[_Named]
    node_name: str | None = None
    host_network: bool = False


class _Waiting(msgspec.Struct, frozen=True):
    reason: str | None = None


class _State(msgspec.Struct, frozen=True):
    running: dict[str, str | None] | None = None
    waiting: _Waiting | None = None
    terminated: _Waiting | None = None


class _ContainerStatus(msgspec.Struct, frozen=True):
    name: str
    ready: bool = False
    state: _State | None = None


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    container_statuses: list[_ContainerStatus] | None = None


class _Pod(msgspec.Struct, frozen=True):
    metadata: _Meta
    spec: _Spec
    status: _Status

    def container(self, wanted: str | None) -> str:
        """The container that is named, or the one that kubectl would choose."""
        default = (self.metadata.annotations or {}).get("kubectl.kubernetes.io/default-container")
        return wanted or default or self.spec.containers[0].name

    def trouble(self, container: str) -> str | None:
        """Why no command can run in a container; None where one can."""
        found = [status for status in self.status.container_statuses or () if status.name == container]
        if container not in [each.name for each in self.spec.containers]:
            return f"it has no container {quoted(container)}"
        state = found[0].state if found else None
        if self.status.phase == "Running" and state is not None and state.running is not None:
            return None
        ended = state and (state.waiting or state.terminated)
        why = (ended and ended.reason) or self.status.phase or "it has no status"
        return f"its container {quoted(container)} does not run: {quoted(why)}"


class _Pods(msgspec.Struct, frozen=True):
    items: list[_Pod] | None = None


class ExecShell:
    """A NodeShell that runs commands in a pod on the node, one after the other."""

    transport = "exec"

    def __init__(self, api: ClusterApi, channel: PodExec, options: ExecOptions) -> None:
        """Lists the pods, once for all nodes. Raises ApiError: not permitted, not reachable."""
        self._channel = channel
        self._options = options
        self._closed = threading.Event()
        self._pods = _by_node(
            api.list("pods", namespace=options.namespace, label_selector=options.selector), options
        )

    def fetch(self, host: RemoteNode) -> Files:
        """The node's files. Raises NodeError with the reason."""
        pod = self._pod(host)
        runner = _Runner(self._channel, pod, time.monotonic() + self._options.timeout)
        sections = dict(runner.dumps())
        for file, argv in COMMANDS:
            if file not in sections and (section := runner.run(argv)) is not None and section.status == 0:
                sections[file] = section
        if self._options.connections:
            sections.update(runner.connections(self._options.connections))
        return node_files(sections, _ground(pod))

    def readings(self, host: RemoteNode, interval: int) -> Iterator[Files]:
        """The node's dumps, again and again, by commands anew. Raises NodeError with the reason."""
        pod = self._pod(host)
        while not self._closed.is_set():
            runner = _Runner(self._channel, pod, time.monotonic() + self._options.timeout)
            yield node_files(dict(runner.dumps()), _ground(pod))
            self._closed.wait(interval)
        raise NodeError("interrupted")

    def address(self, host: RemoteNode) -> str:
        """The pod and container. Raises NodeError."""
        return str(self._pod(host))

    def close(self) -> None:
        """End all running commands; no further ones are started."""
        self._closed.set()
        self._channel.close()

    def _pod(self, host: RemoteNode) -> ExecPod:
        """The pod of a node to run commands in. Raises NodeError."""
        options = self._options
        pods = self._pods.get(host.name, [])
        if not pods:
            raise NodeError(
                f"no pod labelled {quoted(options.selector)} in namespace"
                f" {quoted(options.namespace)} runs there",
                hint="--exec-namespace and --exec-selector name a pod with the host's network and iptables",
            )
        # Two while one replaces the other: the first that can be used, rather one that stays.
        pods = sorted(pods, key=lambda pod: pod.metadata.deletion_timestamp is not None)
        troubles = []
        for pod in pods:
            found = ExecPod(pod.metadata.namespace, pod.metadata.name, pod.container(options.container))
            trouble = pod.trouble(found.container)
            if trouble is None and not pod.spec.host_network:
                trouble = "it has a network of its own: its rules are not the node's"
            if trouble is None:
                return found
            troubles.append(f"pod {found} cannot be used: {trouble}")
        raise NodeError(troubles[0], hint="kubectl describe pod tells more; --exec-container NAME")


class _Runner:
    """Runs the commands of one node; does not try a missing program twice."""

    def __init__(self, channel: PodExec, pod: ExecPod, deadline: float) -> None:
        self._channel, self._pod, self._deadline = channel, pod, deadline
        self._missing: set[str] = set()

    def run(self, argv: Sequence[str]) -> Section | None:
        if argv[0] in self._missing:
            return None
        section = self._channel.run(self._pod, argv, self._deadline)
        if section is None:
            self._missing.add(argv[0])
        return section

    def connections(self, most: int) -> Iterator[tuple[str, Section]]:
        """Both families' tables, or the kernel's own text where the image has no ``conntrack``."""
        for name in names.CONNECTIONS:
            section = self.run(names.NODE_FILES[name].commands[0])
            if section is not None:
                yield name, replace(section, output=cut(section.output, most))
        if "conntrack" in self._missing:
            _, of_kernel = names.NODE_FILES[names.CONNTRACK].commands
            section = self.run(of_kernel)
            if section is not None and section.status == 0:
                yield names.CONNTRACK, replace(section, output=cut(section.output, most))

    def dumps(self) -> Iterator[tuple[str, Section]]:
        """The dumps of both back ends if both tools are there; else that of plain iptables-save."""
        for family in ("iptables", "ip6tables"):
            both: dict[str, Section] = {}
            for tool in (f"{family}-legacy-save", f"{family}-nft-save"):
                section = self.run((tool, "-c"))
                if section is None:
                    break
                both[f"{tool}.txt"] = section
            else:
                yield from both.items()
                continue
            section = self.run((f"{family}-save", "-c"))
            if section is not None:
                yield f"{family}-save.txt", section


def _ground(pod: ExecPod) -> Ground:
    return Ground(
        place=f"in pod {pod}",
        tools="--exec-selector and --exec-container name a pod with the host's network and iptables",
        root="the container must be privileged, or have the capability NET_ADMIN, and run as root",
    )


def _by_node(listed: bytes, options: ExecOptions) -> Mapping[str, list[_Pod]]:
    try:
        pods = msgspec.json.decode(listed, type=_Pods).items or []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ApiError(
            f"the pods in namespace {quoted(options.namespace)} cannot be read: {quoted(str(error))}"
        ) from error
    found: dict[str, list[_Pod]] = {}
    for pod in pods:
        if pod.spec.node_name:
            found.setdefault(pod.spec.node_name, []).append(pod)
    return found
