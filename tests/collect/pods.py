"""The API server's exec endpoint: a WebSocket at whose other end a command really runs.

Speaks what kube-apiserver and kubelet speak: RFC 6455, the sub-protocols v5 and v4.channel.k8s.io,
a channel number before each message, and at the end a Status on channel 3, in the words of
containerd where the program is not there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import struct
import subprocess
from dataclasses import dataclass, field
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from tests.collect.tools import Tools

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CHUNK = 32 * 1024  # as kubelet copies a stream


@dataclass
class Pods:
    """The nodes' pods that have iptables, and the programs in them; ``ran`` is what was run."""

    root: Path
    protocols: tuple[str, ...] = PROTOCOLS
    images: dict[str, Tools] = field(default_factory=dict)
    ran: list[tuple[str, list[str]]] = field(default_factory=list)

    def add(self, node: str, recorded: Path, **changes: Any) -> dict[str, Any]:
        """A pod of kube-proxy on a node, as the API lists it; prints what was recorded there."""
        name = f"kube-proxy-{len(self.images)}"
        (self.root / name).mkdir()
        tools = self.images[name] = Tools(self.root / name)
        tools.recorded(recorded)
        tools.remove("curl", "wget", "nft", "conntrack")
        tools.tool("sysctl", f"/bin/cat {recorded}/sysctl.txt")
        return {
            "metadata": {
                "name": name,
                "namespace": changes.get("namespace", "kube-system"),
                "labels": changes.get("labels", {"k8s-app": "kube-proxy"}),
            },
            "spec": {
                "nodeName": node,
                "hostNetwork": changes.get("host_network", True),
                "containers": [{"name": each} for each in changes.get("containers", ["kube-proxy"])],
            },
            "status": {
                "phase": changes.get("phase", "Running"),
                "containerStatuses": [
                    {"name": each, "ready": True, "state": changes.get("state", {"running": {}})}
                    for each in changes.get("containers", ["kube-proxy"])
                ],
            },
        }

    def accept(self, offered: str) -> str | None:
        """The first sub-protocol of the client's that is spoken here."""
        return next((p for p in map(str.strip, offered.split(",")) if p in self.protocols), None)

    def run(self, name: str, argv: list[str]) -> tuple[bytes, bytes, bytes]:
        """Output, errors, and the Status of a command, as kubelet has it."""
        self.ran.append((name, argv))
        folder = self.images[name].folder
        program = shutil.which(argv[0], path=str(folder)) if "/" not in argv[0] else None
        if program is None:
            message = (
                "Internal error occurred: error executing command in container: failed to exec in container: failed to start"
                f' exec "0f": OCI runtime exec failed: exec failed: unable to start container process: exec: "{argv[0]}":'
                " executable file not found in $PATH: unknown"
            )
            return b"", b"", status("Failure", message, reason="InternalError", code=500)
        done = subprocess.run(
            [program, *argv[1:]],
            env={"PATH": str(folder)},
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if done.returncode == 0:
            return done.stdout, done.stderr, status("Success")
        message = f"command terminated with non-zero exit code: exit status {done.returncode}"
        causes = {"causes": [{"reason": "ExitCode", "message": str(done.returncode)}]}
        return done.stdout, done.stderr, status("Failure", message, reason="NonZeroExitCode", details=causes)


def status(word: str, message: str = "", **more: Any) -> bytes:
    return json.dumps(
        {"metadata": {}, "status": word} | ({"message": message} if message else {}) | more
    ).encode()


def accepted(key: str) -> str:
    """The answer to a client's key (RFC 6455, 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()


def send(out: BufferedIOBase, payload: bytes, opcode: int = 2) -> None:
    """One whole message; a server masks none."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    head += (
        bytes([size])
        if size < 126
        else struct.pack("!BH", 126, size)
        if size < 1 << 16
        else struct.pack("!BQ", 127, size)
    )
    out.write(head + payload)
    out.flush()


def stream(out: BufferedIOBase, output: bytes, errors: bytes, end: bytes | None) -> None:
    """The channels of a command that ended; without ``end`` the connection is as if cut there."""
    send(out, bytes([1]))  # kubelet opens each channel with an empty message
    send(out, b"", opcode=9)  # and a ping may come at any time
    for channel, data in ((1, output), (2, errors)):
        for at in range(0, len(data), _CHUNK):
            send(out, bytes([channel]) + data[at : at + _CHUNK])
    if end is not None:
        send(out, bytes([3]) + end)
        send(out, struct.pack("!H", 1000), opcode=8)
