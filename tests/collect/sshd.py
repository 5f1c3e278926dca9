"""A real sshd for a test: its own keys, port and tools, on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kinspect.collect.options import SshOptions
from tests.collect.tools import Tools
from tests.needs import needs, unmet


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def keygen(path: Path) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return path


@dataclass
class Sshd:
    """A running sshd, and what a client needs to reach it."""

    root: Path
    port: int
    key: Path
    known_hosts: Path
    host_key: Path
    tools: Path
    extra: tuple[str, ...] = field(default=())

    def options(self, **changes: object) -> SshOptions:
        """A client's options for this server and no other settings of the user."""
        given: dict[str, object] = {
            "port": self.port,
            "target": "127.0.0.1",
            "timeout": 20.0,
            "options": (
                f"IdentityFile={self.key}",
                "IdentitiesOnly=yes",
                f"UserKnownHostsFile={self.known_hosts}",
                "GlobalKnownHostsFile=/dev/null",
                "StrictHostKeyChecking=yes",
                *self.extra,
            ),
            **changes,
        }
        return SshOptions(**given)  # type: ignore[arg-type]

    def tool(self, name: str, script: str) -> None:
        """A tool on the node, in place of the real one."""
        Tools(self.tools).tool(name, script)

    def recorded(self, folder: Path) -> None:
        """Let the node's tools print what a recorded node's printed."""
        Tools(self.tools).recorded(folder)


@contextmanager
def sshd(
    root: Path,
    config: Mapping[str, str] | None = None,
    *,
    address: str = "127.0.0.1",
    port: int | None = None,
    key: Path | None = None,
) -> Iterator[Sshd]:
    """Start one; skips the test, with the reason, where there is none to start.

    ``key`` is the client's, made anew without.
    """
    needs("ssh", "ssh-keygen")
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).exists():
        unmet("openssh-server is not installed")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where Debian's sshd keeps its privileges apart
    root.mkdir(parents=True, exist_ok=True)
    host_key, key, port = keygen(root / "host"), key or keygen(root / "client"), port or free_port()
    (root / "authorized").write_text(key.with_suffix(".pub").read_text())
    tools = root / "tools"
    tools.mkdir()
    known = root / "known_hosts"
    public = " ".join((root / "host.pub").read_text().split()[:2])
    known.write_text(f"[{address}]:{port} {public}\n")
    lines = {
        "Port": str(port),
        "ListenAddress": address,
        "HostKey": str(host_key),
        "AuthorizedKeysFile": str(root / "authorized"),
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
        "PasswordAuthentication": "no",
        "KbdInteractiveAuthentication": "no",
        # A bash that sshd starts reads the user's .bashrc, unless it is inside another.
        "SetEnv": f"PATH={tools}:/usr/local/bin:/usr/bin:/bin SHLVL=2",
        "MaxStartups": "200:30:300",
        **(config or {}),
    }
    (root / "sshd_config").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    with (root / "sshd.log").open("wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(root / "sshd_config")], stderr=log)
        try:
            _wait(address, port, process, root / "sshd.log")
            yield Sshd(root, port, key, known, host_key, tools)
        finally:
            process.terminate()
            process.wait()


def _wait(address: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        if process.poll() is not None:
            break
        with socket.socket() as sock:
            if sock.connect_ex((address, port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"sshd did not start: {log.read_text()}")
