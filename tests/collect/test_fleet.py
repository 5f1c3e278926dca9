"""Some fifty nodes on a bad night: the healthy are all read, and each failure is one clear line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.run import kinspect
from tests.collect.fleet import Fleet, address_of, fleet
from tests.collect.sshd import keygen
from tests.needs import isolated, needs
from tests.wait import until

pytestmark = pytest.mark.ssh

HEALTHY = [f"node{n:02}" for n in range(40)]
TIMEOUT = 8

# What is wrong with a node, and how its line begins.
FAULTS = {
    "changed-key": "its host key has changed: this may be a different machine",
    "denied": "permission denied: none of your keys was accepted",
    "sudo": "sudo on the node wants a password for iptables-legacy-save (allow it in sudoers: ops ALL=(root) NOPASSWD: ",
    "no-tools": "there is neither iptables-save nor nft on the node",
    "lock": "iptables-nft-save: another program holds the xtables lock",
    "dropped": "the connection was c",  # cut, or closed
    "hung": f"no answer within {TIMEOUT} s",
    "garbage": "iptables-nft-save on the node printed something that is not a dump: <html>",
    "no-shell": "the node did not run the script; it said: This account is currently not available.",
    "down": "connection refused",
}
_DROP = """head -c 2000 %s
p=$$
while [ "$p" -gt 1 ] && ! grep -q '^Name:.*sshd' /proc/$p/status; do
    p=$(sed -n 's/^PPid:[^0-9]*//p' /proc/$p/status)
done
kill -9 "$p"; sleep 1"""


@pytest.fixture
def night(tmp_path: Path) -> Iterator[Fleet]:
    needs("pgrep")
    (tmp_path / "empty").mkdir()
    configs = {
        "denied": {"AuthorizedKeysFile": "none"},
        "no-shell": {"ForceCommand": "echo This account is currently not available.; exit 1"},
        # The machine's own tools are hidden, in a mount namespace of the session.
        "no-tools": {
            "ForceCommand": f"{isolated('mount')} sh -c 'mount --bind {tmp_path}/empty /usr/sbin; PATH=/usr/bin:/bin;"
            ' exec sh -c "$SSH_ORIGINAL_COMMAND"\''
        },
    }
    with fleet(tmp_path, [*HEALTHY, *FAULTS], configs) as made:
        other = keygen(tmp_path / "other").with_suffix(".pub").read_text().split()
        changed = made.nodes["changed-key"]
        changed.known_hosts.write_text(
            f"[{made.addresses['changed-key']}]:{made.port} {other[0]} {other[1]}\n"
        )
        made.trust()
        made.nodes["sudo"].tool("id", 'case "$1" in -u) echo 1000 ;; *) echo ops ;; esac')
        made.nodes["sudo"].tool("sudo", "echo 'sudo: a password is required' >&2; exit 1")
        lock = "echo 'Another app is currently holding the xtables lock.' >&2; exit 4"
        made.nodes["lock"].tool("iptables-nft-save", lock)
        made.nodes["dropped"].tool(
            "iptables-nft-save", _DROP % (tmp_path / "dropped/recorded/iptables-save.txt")
        )
        made.nodes["hung"].tool("iptables-nft-save", f"echo $$ > {tmp_path}/hanging; exec sleep 120")
        made.nodes["garbage"].tool("iptables-nft-save", "echo '<html>'")
        for node in made.api.lists["nodes"]:
            if node["metadata"]["name"] == "down":
                node["status"]["addresses"][1]["address"] = "127.0.200.1"
        try:
            yield made
        finally:
            with suppress(OSError, ValueError):
                os.kill(int((tmp_path / "hanging").read_text()), signal.SIGKILL)


def test_a_fleet_on_a_bad_night(night: Fleet) -> None:
    ran = kinspect("trace", "svc/test-service", "-o", "json", "--timeout", str(TIMEOUT), *night.argv)
    assert ran.code == 3

    traces = {trace["node"]: trace for trace in ran.json["traces"]}
    assert list(traces) == HEALTHY, "all of them, in the order of the API"
    for number, name in enumerate(HEALTHY):
        # Each answer is from this node's own rules: only they know its address.
        assert traces[name]["packet"]["dst"] == address_of(number)
        assert {outcome["to"] for outcome in traces[name]["outcomes"]} == {"10.42.19.2:80", "10.42.20.2:80"}

    lines = dict(line.removeprefix("kinspect: ").split(": ", 1) for line in ran.err.splitlines())
    assert set(lines) == set(FAULTS)
    assert {name for name, begins in FAULTS.items() if not lines[name].startswith(begins)} == set(), lines
    assert all(line.isprintable() for line in ran.err.splitlines())

    assert _clients(night.port) == ""


def test_an_interrupt_ends_all_clients(night: Fleet) -> None:
    for node in night.nodes.values():
        node.tool("iptables-nft-save", "exec sleep 30")
    words = [sys.executable, "-m", "kinspect", "trace", "svc/test-service", *night.argv]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: _clients(night.port) != "")
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=25)  # before any node would have answered
    assert (process.returncode, out) == (130, "")
    assert err in ("", "kinspect: interrupted\n")
    assert _clients(night.port) == ""


def _clients(port: int) -> str:
    """The ssh clients of this fleet that still run."""
    done = subprocess.run(["pgrep", "-f", f"ssh .*-p {port} "], capture_output=True, text=True, check=False)
    return done.stdout
