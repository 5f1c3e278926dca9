"""The user's options for reaching nodes, checked. Cheap to import."""

from __future__ import annotations

import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from kinspect.errors import CallError

Progress: TypeAlias = Callable[[str, str | None], None]
"""Callback for each node that is done: its name, and the reason if it failed."""

EVERY_CONNECTION: Final = 1_000_000_000
"""More than any table holds: no limit."""

# What a template may name, and the type of address that the API has for it.
ADDRESS_FIELDS: Final = {
    "name": None,
    "internal_ip": "InternalIP",
    "external_ip": "ExternalIP",
    "hostname": "Hostname",
}


@dataclass(frozen=True, slots=True)
class SshOptions:
    """The options for SSH.

    ``target`` is a template of ``{name}``, ``{internal_ip}``, ``{external_ip}``, ``{hostname}``;
    ``sudo`` None means if needed; ``timeout`` is in seconds, for all of a node; ``connections``
    is how many connections of each family to bring, EVERY_CONNECTION for all.
    """

    user: str | None = None
    port: int | None = None
    options: tuple[str, ...] = ()
    target: str = "{internal_ip}"
    sudo: bool | None = None
    timeout: float = 30.0
    connections: int = 0
    program: str = "ssh"

    def __post_init__(self) -> None:
        """Raise CallError for a template with unknown fields."""
        try:
            fields = {name for _, name, _, _ in string.Formatter().parse(self.target) if name is not None}
        except ValueError as error:
            raise CallError(f"--ssh-target {self.target!r}: {error}") from error
        unknown = fields - ADDRESS_FIELDS.keys()
        if unknown:
            known = ", ".join(f"{{{name}}}" for name in ADDRESS_FIELDS)
            raise CallError(
                f"--ssh-target {self.target!r}: there is no {{{unknown.pop()}}}", hint=f"it takes {known}"
            )


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """Which pods of the nodes commands are run in.

    The default is kube-proxy's own as kubeadm and most providers install it. ``container`` None is
    the one that kubectl uses; ``timeout`` is in seconds, for all of a node; ``connections`` is how
    many connections of each family to bring; ``because`` says why this transport was chosen if nobody asked
    for it.
    """

    namespace: str = "kube-system"
    selector: str = "k8s-app=kube-proxy"
    container: str | None = None
    timeout: float = 30.0
    connections: int = 0
    because: str | None = None


NodeOptions: TypeAlias = SshOptions | ExecOptions
"""How nodes are reached; ``transports`` makes the NodeShell."""
