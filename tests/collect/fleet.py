"""Many nodes, each a real sshd at an address of its own on loopback, each with its own rules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.clusters import DATA
from tests.collect.replay import ReplayServer
from tests.collect.sshd import Sshd, free_port, keygen, sshd
from tests.collect.tools import Tools
from tests.needs import isolated

# Each node's switches are those of a network namespace of its own, where forwarding is on.
_OWN_SWITCHES = "sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; exec sh -c \"$SSH_ORIGINAL_COMMAND\"'"
RECORDED = DATA / "story-1-both-nodes"


@dataclass
class Fleet:
    """Nodes by name, and the command line's words that reach them."""

    api: ReplayServer
    port: int
    key: Path
    known_hosts: Path
    nodes: dict[str, Sshd] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    @property
    def ssh_options(self) -> tuple[str, ...]:
        """What ssh needs to know, and nothing of the user's own settings."""
        return (
            f"IdentityFile={self.key}",
            "IdentitiesOnly=yes",
            f"UserKnownHostsFile={self.known_hosts}",
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
        )

    @property
    def argv(self) -> list[str]:
        words = ["--kubeconfig", str(self.api.kubeconfig), "-n", "default"]
        words += ["--ssh-target", "{hostname}", "--ssh-port", str(self.port)]
        for option in self.ssh_options:
            words += ["--ssh-option", option]
        return words

    def trust(self) -> None:
        """Write the keys of all nodes where ssh looks for them."""
        self.known_hosts.write_text("".join(node.known_hosts.read_text() for node in self.nodes.values()))


def address_of(number: int) -> str:
    """The address of a node's own network, which its rules are about."""
    return f"192.168.{1 + number // 250}.{1 + number % 250}"


@contextmanager
def fleet(
    root: Path, names: Sequence[str], configs: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Fleet]:
    """Start them all. ``configs`` are settings of single nodes' sshd."""
    own = isolated("net")
    with ExitStack() as stack:
        api = stack.enter_context(ReplayServer(RECORDED, root))
        made = Fleet(api, free_port(), keygen(root / "client"), root / "known_hosts")
        for number, name in enumerate(names):
            made.addresses[name] = f"127.0.{1 + number // 250}.{1 + number % 250}"
            made.nodes[name] = stack.enter_context(
                sshd(
                    root / name,
                    {"ForceCommand": f"{own} {_OWN_SWITCHES}", **(configs or {}).get(name, {})},
                    address=made.addresses[name],
                    port=made.port,
                    key=made.key,
                )
            )
            Tools(made.nodes[name].tools).recorded(_recording(root / name / "recorded", number))
        made.trust()
        api.lists["nodes"] = [
            {
                "metadata": {"name": name},
                "status": {
                    "addresses": [
                        {"type": "InternalIP", "address": address_of(number)},
                        {"type": "Hostname", "address": made.addresses[name]},
                    ]
                },
            }
            for number, name in enumerate(names)
        ]
        yield made


def _recording(folder: Path, number: int) -> Path:
    """What node1 of the story printed, as if it had another address."""
    folder.mkdir()
    for file in (RECORDED / "nodes" / "node1").iterdir():
        text = file.read_text().replace("192.168.0.11", address_of(number))
        (folder / file.name).write_text(text)
    assert address_of(number) in json.dumps(json.loads((folder / "ip-addr.json").read_text()))
    return folder
