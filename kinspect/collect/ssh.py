"""Nodes by the OpenSSH client: the user's own configuration, agent, jump hosts and known hosts.

The client is a subprocess with an argument list, never a shell here; on the node the script of
``remote.sh`` comes by standard input, so that its text needs no quoting and stands in no process
list. Host keys are checked as the user has configured it; no option here turns that off.
"""

from __future__ import annotations

import os
import re
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from importlib import resources
from typing import IO, Final

from kinspect.collect.node_output import node_files, read_bundle
from kinspect.collect.options import ADDRESS_FIELDS, SshOptions
from kinspect.collect.ports import RemoteNode
from kinspect.errors import NodeError
from kinspect.sanitise import quoted
from kinspect.snapshot.types import Files

# What can be a host for ssh: names, addresses of both families with a zone. Nothing that ssh or a
# ProxyCommand's shell could take for an option or for code.
_HOST: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:%-]*")

_PART: Final = 1 << 16  # bytes that are read at once
_LARGEST: Final = 1 << 30  # bytes of one reading
_LAST_WORDS: Final = 5.0  # seconds for a client whose output has ended to end, too


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
            # ssh's own word tells more than what is missing at the end.
            if status == 255 and "cut before" in error.message and heard:
                raise NodeError(
                    f"{error.message}: {quoted(heard.splitlines()[-1])}", hint=error.hint
                ) from error
            raise

    def readings(self, host: RemoteNode, interval: int) -> Generator[Files, None, None]:
        """The node's dumps, again and again, over one connection. Raises NodeError with the reason."""
        nonce = secrets.token_hex(16)
        sudo = {True: "yes", False: "no", None: "auto"}[self._options.sudo]
        command = [*self.command(host), f"sh -s -- {nonce} {sudo} 0 {interval}"]
        command[1:1] = ["-o", "Compression=yes"]  # one reading is much like the one before
        with tempfile.TemporaryFile() as heard:
            process = self._start(command, heard)
            try:
                yield from self._readings(process, nonce, interval)
                raise self._ended(process, heard)
            finally:
                _end(process)
                with self._lock:
                    self._running.discard(process)

    def _readings(self, process: subprocess.Popen[bytes], nonce: str, interval: int) -> Iterator[Files]:
        """What comes, up to the end of the output. Raises NodeError: out of time, no dumps."""
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(OSError):  # it ended already; its output says why
            process.stdin.write(self._script)
            process.stdin.close()
        process.stdin = None  # nothing is left to write when it is ended
        end = f"\n@{nonce} done\n".encode()
        came = bytearray()
        patience = interval + self._options.timeout
        limit = time.monotonic() + patience
        while True:
            ready, _, _ = select.select([process.stdout], [], [], max(0.0, limit - time.monotonic()))
            if not ready:
                raise NodeError(f"no reading within {patience:g} s", hint="--timeout SECONDS waits longer")
            part = os.read(process.stdout.fileno(), _PART)
            if not part:
                if came:
                    read_bundle(bytes(came), nonce)  # raises, with what came instead
                return
            searched = max(0, len(came) - len(end))
            came += part
            while (at := came.find(end, searched)) >= 0:
                whole = bytes(came[: at + len(end)])
                del came[: at + len(end)]
                searched, limit = 0, time.monotonic() + patience
                yield node_files(read_bundle(whole, nonce))
            if len(came) > _LARGEST:
                raise NodeError(f"the node sends more than {_LARGEST >> 20} MiB for one reading")

    def _ended(self, process: subprocess.Popen[bytes], heard: IO[bytes]) -> NodeError:
        """Why a connection ended."""
        if self._closed:
            return NodeError("interrupted")
        try:
            status = process.wait(timeout=_LAST_WORDS)
        except subprocess.TimeoutExpired:
            status = 255
        heard.seek(0)
        text = heard.read().decode("utf-8", "replace").strip()
        return _failure(text, status) if status == 255 and text else NodeError("the connection ended")

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
                        f"the API gives no {kind} for it", hint="--ssh-target '{name}' takes another address"
                    )
                values[name] = host.addresses[kind]
        address = self._options.target.format_map(values)
        if not _HOST.fullmatch(address):
            raise NodeError(
                f"'{quoted(address)}' cannot be a host for ssh",
                hint="--ssh-target gives another address",
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

    def _start(
        self, command: list[str], stderr: int | IO[bytes] = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """The running client. Raises NodeError: there is none, or no further ones are started."""
        try:
            with self._lock:
                if self._closed:
                    raise NodeError("interrupted")
                process = subprocess.Popen(  # noqa: S603 - an argument list; the host is checked
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    # A session of its own, so that a ProxyCommand ends with it; but not where ssh
                    # may ask on the terminal, which belongs to this session.
                    start_new_session="BatchMode=yes" in command,
                )
                self._running.add(process)
                return process
        except FileNotFoundError as error:
            raise NodeError(
                f"there is no {self._options.program} here",
                hint="install the OpenSSH client, or use --snapshot",
            ) from error
        except OSError as error:
            raise NodeError(f"{self._options.program} cannot be run: {error.strerror}") from error

    def _run(self, command: list[str]) -> tuple[bytes, str, int]:
        """Output, standard error and exit status. Raises NodeError: no client, or out of time."""
        process = self._start(command)
        try:
            output, heard = process.communicate(self._script, timeout=self._options.timeout)
        except subprocess.TimeoutExpired:
            _end(process)
            raise NodeError(
                f"no answer within {self._options.timeout:g} s", hint="--timeout SECONDS waits longer"
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
    """To the client, and to a ProxyCommand where they have a session of their own."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        if os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, sign)
        else:
            process.send_signal(sign)


# What ssh says, and what that means; ``{said}`` is its own last line. The first that fits counts.
_FAR: Final = "is it reachable from here? ProxyJump in ~/.ssh/config, or --ssh-target"
_MEANINGS: Final[tuple[tuple[str, str, str | None], ...]] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "its host key is not the one known: somebody else may answer there",
        "find out why; if the node was made anew: ssh-keygen -R ADDRESS",
    ),
    (
        r"Host key verification failed",
        "its host key is not known",
        "connect once by hand, ssh ADDRESS, and check the key",
    ),
    (
        r"Permission denied \(([^)]*)\)",
        "permission denied: it took none of your keys ({said})",
        "ssh ADDRESS must work without a password; --ssh-user USER",
    ),
    (
        r"Too many authentication failures",
        "too many keys were tried",
        "--ssh-option IdentitiesOnly=yes, and the key in ~/.ssh/config",
    ),
    (
        r"Could not resolve hostname",
        "its name is not known here ({said})",
        "--ssh-target '{internal_ip}' uses the address",
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
        "ssh does not take its options ({said})",
        "look at --ssh-option and ~/.ssh/config",
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
