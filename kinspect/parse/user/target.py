"""Targets and senders as users type them: a service, an address, a NodePort, a source."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, TypeAlias

from kinspect.errors import CallError
from kinspect.model.check import NoTrafficTo, ServicePattern, ToAddress, ToNode, ToPod
from kinspect.model.packet import PROTOCOLS, WITH_PORTS, Address

_NAME: Final = re.compile(r"[a-z0-9A-Z]([-a-z0-9A-Z.]*[a-z0-9A-Z])?")
_ADDRESS: Final = re.compile(
    r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<four>[0-9.]+)|(?P<bare>[0-9a-fA-F]*:[0-9a-fA-F:.]*))"
    r"(?::(?P<port>\d+))?(?:/(?P<protocol>\w+))?"
)
_PATTERN: Final = re.compile(
    r"(?:(?P<space>[-a-z0-9A-Z.*]+)/)?(?P<name>[-a-z0-9A-Z.*]+)(?::(?P<port>[-a-z0-9A-Z]+))?"
)
_NODE_PORT: Final = re.compile(r":(?P<port>\d+)(?:/(?P<protocol>\w+))?")


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """``svc/NAME[:PORT]``, ``NAMESPACE/NAME``, ``NAME``; the port is a number or a name."""

    name: str
    namespace: str | None = None
    port: str | None = None


@dataclass(frozen=True, slots=True)
class AddressTarget:
    """``10.43.174.31:80``, ``[fd00::1]:80/udp``."""

    address: Address
    port: int | None
    protocol: int


@dataclass(frozen=True, slots=True)
class NodePortTarget:
    """``:31000``: that NodePort, on every node."""

    port: int
    protocol: int


TraceTarget: TypeAlias = ServiceTarget | AddressTarget | NodePortTarget


@dataclass(frozen=True, slots=True)
class FromNode:
    """A process on a node."""

    node: str


@dataclass(frozen=True, slots=True)
class FromPod:
    """A pod; without a namespace, of the one in use."""

    name: str
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class FromAddress:
    """The owner of this address: a pod, a node, or a client outside."""

    address: Address


Sender: TypeAlias = FromNode | FromPod | FromAddress


_SERVICES: Final = ("svc", "service", "services")


def read_target(text: str) -> TraceTarget:
    """A TARGET. Raises CallError."""
    forms = "a target is svc/NAME[:PORT], NAMESPACE/NAME, ADDRESS:PORT[/udp], or :NODEPORT"
    node_port = _NODE_PORT.fullmatch(text)
    if node_port:
        return NodePortTarget(_port(node_port["port"], text), _protocol(node_port["protocol"], text))
    found = _ADDRESS.fullmatch(text)
    if found and ("." in text or ":" in text):
        address = _address(found["six"] or found["four"] or found["bare"], text)
        protocol = _protocol(found["protocol"], text)
        port = _port(found["port"], text) if found["port"] else None
        if port is None and protocol in WITH_PORTS:
            raise CallError(
                f"target {text!r} has no port", hint="give ADDRESS:PORT, or /icmp behind the address"
            )
        return AddressTarget(address, port, protocol)
    kind, slash, rest = text.partition("/")
    if not slash:
        kind, rest = "", text
    if kind in _SERVICES and "/" in rest.partition(":")[0]:
        kind, _, rest = rest.partition("/")  # svc/NAMESPACE/NAME
    name, _, port_name = rest.partition(":")
    if not _NAME.fullmatch(name) or (rest.count(":") > 1) or ("/" in rest) or (":" in rest and not port_name):
        raise CallError(f"cannot read the target {text!r}", hint=forms)
    if kind in ("", *_SERVICES):
        return ServiceTarget(name, None, port_name or None)
    if not _NAME.fullmatch(kind):
        raise CallError(f"cannot read the target {text!r}", hint=forms)
    if kind in ("pod", "po", "pods", "node", "no", "nodes", "deploy", "deployment", "ep", "endpoints"):
        raise CallError(f"{kind}/… cannot be traced: only a service or an address can", hint=forms)
    return ServiceTarget(name, kind, port_name or None)


def read_sender(text: str) -> Sender:
    """The value of ``--from``. Raises CallError."""
    forms = "--from takes node/NAME, pod/NAME, pod/NAMESPACE/NAME or an address"
    kind, slash, rest = text.partition("/")
    if not slash:
        try:
            return FromAddress(ip_address(text.strip("[]")))
        except ValueError:
            raise CallError(f"cannot read --from {text!r}", hint=forms) from None
    names = rest.split("/")
    if not all(_NAME.fullmatch(name) for name in names):
        raise CallError(f"cannot read --from {text!r}", hint=forms)
    if kind in ("node", "no", "nodes") and len(names) == 1:
        return FromNode(names[0])
    if kind in ("pod", "po", "pods") and len(names) <= 2:
        return FromPod(names[-1], names[0] if len(names) == 2 else None)
    raise CallError(f"cannot read --from {text!r}", hint=forms)


def read_aim(text: str) -> NoTrafficTo:
    """The value of ``--to``. Raises CallError."""
    forms = "--to takes node/NAME, pod/NAME, pod/NAMESPACE/NAME or an address"
    kind, slash, rest = text.partition("/")
    if not slash:
        try:
            return ToAddress(ip_address(text.strip("[]")))
        except ValueError:
            raise CallError(f"cannot read --to {text!r}", hint=forms) from None
    names = rest.split("/")
    if all(_NAME.fullmatch(name) for name in names):
        if kind in ("node", "no", "nodes") and len(names) == 1:
            return ToNode(names[0])
        if kind in ("pod", "po", "pods") and len(names) <= 2:
            return ToPod(names[-1], names[0] if len(names) == 2 else None)
    raise CallError(f"cannot read --to {text!r}", hint=forms)


def read_pattern(text: str) -> ServicePattern:
    """A service, or several by ``*``: ``svc/NAME[:PORT]``, ``NAMESPACE/NAME``, ``NAME``. Raises CallError."""
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise CallError(
            f"{text!r} is not a service", hint="svc/NAME[:PORT], NAMESPACE/NAME[:PORT] or NAME[:PORT]"
        )
    kind = found["space"]
    space = None if kind in ("svc", "service", "services") else kind
    return ServicePattern(space, found["name"], found["port"])


def _address(text: str, target: str) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise CallError(f"{text!r} in the target {target!r} is not an address") from None


def _port(text: str, target: str) -> int:
    if len(text) > 5 or not 0 < int(text) <= 0xFFFF:
        raise CallError(f"{text} in the target {target!r} is not a port: ports are 1 to 65535")
    return int(text)


def _protocol(text: str | None, target: str) -> int:
    if text is None:
        return PROTOCOLS["tcp"]
    if text.lower() not in PROTOCOLS:
        raise CallError(f"{text!r} in the target {target!r} is not a protocol", hint="tcp, udp, sctp, icmp")
    return PROTOCOLS[text.lower()]
