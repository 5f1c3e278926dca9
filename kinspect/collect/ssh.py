"""Nodes by the OpenSSH client: the user's own configuration, agent, jump hosts and known hosts.

The client is a subprocess with an argument list, never a shell here; on the node the script of
``remote.sh`` comes by standard input, so that its text needs no quoting and stands in no process
list. Host keys are checked as the user has configured it; no option here turns that off.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib import resources
from typing import Final

from kinspect.collect.node_output import node_files, read_bundle
from kinspect.collect.options import ADDRESS_FIELDS, SshOptions
from kinspect.collect.ports import RemoteNode
from kinspect.errors import NodeError
from kinspect.sanitise import quoted
from kinspect.snapshot.types import Files

# What can be a host for ssh: names, addresses of both families with a zone. Nothing that ssh or a
# ProxyCommand's shell could read as an option or as code.
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:%-]*")


class SshShell:
    """A NodeShell with one connection per node, which runs one script."""

    transport = "ssh"

    def __init__(self, options: SshOptions) -> None:
        self._options = options
        self._script = (resources.files("kinspect.collect") / "remote.sh").read_bytes()
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False

    def fetch(self, host: RemoteNode) -> Files:
        """The node's files. Raises NodeError with the reason."""
        nonce = secrets.token_hex(16)
        sudo = {True: "yes", False: "no", None: "auto"}[self._options.sudo]
        remote = f"sh -s -- {nonce} {sudo} {self._options.connections}"
        output, heard, status = self._run([*self.command(host), remote])
        mark = f"@{nonce} ".encode()
        if mark not in output:
            if status == 255:  # ssh's own; the node's are below
                raise _failure(heard, status)
            output = output.strip() or heard.encode()
        try:
            return node_files(read_bundle(output, nonce))
        except NodeError as error:
            # ssh's own message is more helpful than the missing end.
            if status == 255 and "cut before" in error.message and heard:
                raise NodeError(
                    f"{error.message}: {quoted(heard.splitlines()[-1])}", hint=error.hint
                ) from error
            raise

    def command(self, host: RemoteNode) -> list[str]:
        """The ssh command for a node, up to the host. Raises NodeError: it has no address."""
        options = self._options
        words = [options.program, "-T", "-o", f"ConnectTimeout={max(1, round(options.timeout / 2))}"]
        words += ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
        if not sys.stdin.isatty() or not sys.stderr.isatty():
            words += ["-o", "BatchMode=yes"]  # nobody could answer a prompt
        for option in options.options:
            words += ["-o", option]
        if options.port is not None:
            words += ["-p", str(options.port)]
        if options.user is not None:
            words += ["-l", options.user]
        return [*words, "--", self.address(host)]

    def address(self, host: RemoteNode) -> str:
        """The address of a node by the template. Raises NodeError."""
        values = {"name": str(host.name)}
        for name, kind in ADDRESS_FIELDS.items():
            if kind is not None and f"{{{name}}}" in self._options.target:
                if kind not in host.addresses:
                    raise NodeError(
                        f"the API gives no {kind} for it",
                        hint="give another address with --ssh-target, such as '{name}'",
                    )
                values[name] = host.addresses[kind]
        address = self._options.target.format_map(values)
        if not _HOST.fullmatch(address):
            raise NodeError(
                f"'{quoted(address)}' cannot be a host for ssh",
                hint="give another address with --ssh-target",
            )
        return address

    def close(self) -> None:
        """End all running commands; no further ones are started."""
        with self._lock:
            self._closed = True
            running = list(self._running)
        # The threads that started them wait for them, and read what is left of their output.
        for sign in (signal.SIGTERM, signal.SIGKILL):
            for process in running:
                _signal(process, sign)
            limit = time.monotonic() + 1
            while time.monotonic() < limit and any(process.poll() is None for process in running):
                time.sleep(0.02)

    def _run(self, command: list[str]) -> tuple[bytes, str, int]:
        """Output, standard error and exit status. Raises NodeError: no client, or out of time."""
        try:
            with self._lock:
                if self._closed:
                    raise NodeError("interrupted")
                process = subprocess.Popen(  # noqa: S603 - an argument list; the host is checked
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    # A session of its own, so that a ProxyCommand ends with it; but not if ssh may
                    # prompt on the terminal, which belongs to this session.
                    start_new_session="BatchMode=yes" in command,
                )
                self._running.add(process)
        except FileNotFoundError as error:
            raise NodeError(
                f"there is no {self._options.program} here",
                hint="install the OpenSSH client, or use --snapshot",
            ) from error
        except OSError as error:
            raise NodeError(f"{self._options.program} cannot be run: {error.strerror}") from error
        try:
            output, heard = process.communicate(self._script, timeout=self._options.timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            raise NodeError(
                f"no answer within {self._options.timeout:g} s", hint="raise the limit with --timeout SECONDS"
            ) from None
        except (ValueError, OSError):
            if not self._closed:
                raise
            raise NodeError("interrupted") from None  # ``close`` has read to the end of its pipes
        finally:
            with self._lock:
                self._running.discard(process)
        if self._closed:
            raise NodeError("interrupted")
        return output, heard.decode("utf-8", "replace").strip(), process.returncode


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the client and its children."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        _signal(process, sign)
        try:
            process.communicate(timeout=1)
            break
        except (subprocess.TimeoutExpired, ValueError, OSError):
            continue  # OSError: the thread that waits for it has closed its pipes meanwhile


def _signal(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    """To the client, and to a ProxyCommand if they have a session of their own."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)


# Messages of ssh and their meaning; ``{said}`` is its last line. The first match counts.
_FAR: Final = "is it reachable from here? ProxyJump in ~/.ssh/config, or --ssh-target"
_MEANINGS: Final[tuple[tuple[str, str, str | None], ...]] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "its host key has changed: this may be a different machine",
        "find out why; if the node was rebuilt: ssh-keygen -R ADDRESS",
    ),
    (
        r"Host key verification failed",
        "its host key is not known",
        "connect once by hand (ssh ADDRESS) and check the key",
    ),
    (
        r"Permission denied \(([^)]*)\)",
        "permission denied: none of your keys was accepted ({said})",
        "ssh ADDRESS must work without a password; --ssh-user USER",
    ),
    (
        r"Too many authentication failures",
        "too many keys were tried",
        "--ssh-option IdentitiesOnly=yes, and the key in ~/.ssh/config",
    ),
    (
        r"Could not resolve hostname",
        "its name cannot be resolved here ({said})",
        "use the address: --ssh-target '{internal_ip}'",
    ),
    (r"Connection refused", "connection refused: nothing listens there for ssh", "--ssh-port PORT"),
    (r"Operation timed out|Connection timed out", "it does not answer: connection timed out", _FAR),
    (r"No route to host|Network is unreachable", "there is no route to it ({said})", _FAR),
    (
        r"Connection (closed|reset)|Broken pipe|Timeout, server",
        "the connection was closed ({said})",
        "try again",
    ),
    (
        r"Bad configuration option|command-line.*: |keyword .* extra arguments|Bad owner or permissions",
        "ssh does not accept its options ({said})",
        "check --ssh-option and ~/.ssh/config",
    ),
)


def _failure(heard: str, status: int) -> NodeError:
    """The meaning of a failure of ssh, in one line."""
    lines = [line for line in heard.splitlines() if line.strip()]
    last = quoted(lines[-1]) if lines else f"exit status {status}"
    for pattern, meaning, hint in _MEANINGS:
        if re.search(pattern, heard):
            return NodeError(meaning.replace("{said}", last), hint=hint)
    return NodeError(f"ssh failed: {last}")
