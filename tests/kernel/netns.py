"""A small node in a network namespace of its own, spoken to through its agent (``agent.py``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kinspect.model.packet import Family
from tests.needs import isolated, needs

TOOLS = ("unshare", "ip", "nft", "iptables-nft-restore", "iptables-legacy-restore", "ipset", "conntrack")
HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}  # by table


class Node:
    """The namespace; all it does is ask the agent."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.switches: dict[str, str] = {}
        self._first: dict[str, str] = {}

    def _ask(self, **request: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the agent has ended at {request}")
        return json.loads(answer)

    def run(self, *command: str, stdin: str = "", check: bool = True) -> str:
        """A command in the namespace: what it prints."""
        status, out, err = self._ask(do="run", command=command, stdin=stdin)
        if check and status:
            raise Refused(f"{' '.join(command)}: {err.strip()}")
        return str(out)

    def send(self, packets: Sequence[tuple[str, bytes]]) -> list[dict[str, Any]]:
        """Send packets, each by a link or from ``here``; what came out."""
        found = self._ask(do="send", packets=[(where, data.hex()) for where, data in packets])
        return [item for item in found if "way" in item]

    def switch(self, values: Mapping[str, str]) -> None:
        """Set kernel switches, named as sysctl names them; others are again as they were at first."""
        for key in values.keys() - self._first.keys():
            self._first[key] = self.run("sysctl", "-n", key).strip()
        wanted = {**{key: value for key, value in self._first.items() if key not in values}, **values}
        new = {key: value for key, value in wanted.items() if self.switches.get(key) != value}
        if new:
            self._ask(do="sysctl", values={key.replace(".", "/"): value for key, value in new.items()})
            self.switches.update(new)

    def load(self, rules: str, backend: str, family: Family) -> None:
        """Load rules as the whole rule set of one back end and family. Raises Refused."""
        named = {line[1:].strip() for line in rules.splitlines() if line.startswith("*")}
        rest = ""
        for table, chains in HOOKS.items():
            if table not in named:  # legacy keeps the policy of a chain that is not named
                rest += "\n".join([f"*{table}", *(f":{chain} ACCEPT [0:0]" for chain in chains), "COMMIT\n"])
        self.run(f"{_tool(family)}-{backend}-restore", stdin=f"{rules}\n{rest}")

    def save(self, backend: str, family: Family) -> str:
        """The rules with their counters."""
        return self.run(f"{_tool(family)}-{backend}-save", "-c")

    def sets(self, lines: str) -> None:
        """Make these the only ipsets. Raises Refused where rules still use one."""
        self.run("ipset", "flush")  # a list holds on to its sets
        self.run("ipset", "destroy")
        if lines:
            self.run("ipset", "-exist", "restore", stdin=lines)

    @contextmanager
    def added(self, setup: Sequence[str]) -> Iterator[None]:
        """Add policy rules and routes for a while; those that ip refuses are left out."""
        done = []
        for line in setup:
            status, _, _ = self._ask(do="run", command=line.split(), stdin="")
            if status == 0:
                done.append(line)
        try:
            yield
        finally:
            # Twice: of two routes that differ in little, ip may take the other one away first.
            for line in [*reversed(done), *done]:
                self.run(*line.replace(" add ", " del ", 1).split(), check=False)

    def files(self) -> dict[str, bytes]:
        """What a snapshot has of a host, but for rules, sets and switches."""
        commands = {
            "ip-addr.json": "ip -d -j addr",
            "ip-route.json": "ip -j route show table all",
            "ip-6-route.json": "ip -6 -j route show table all",
            "ip-rule.json": "ip -j rule",
            "ip-6-rule.json": "ip -6 -j rule",
            "ip-nexthop.json": "ip -j nexthop",
        }
        return {file: self.run(*command.split()).encode() for file, command in commands.items()}


class Refused(Exception):
    """A tool did not take what it was given."""


def _tool(family: Family) -> str:
    return "iptables" if family == 4 else "ip6tables"


@contextmanager
def node() -> Iterator[Node]:
    """A node; its namespaces end with its agent."""
    needs(*TOOLS)
    agent = Path(__file__).parent / "agent.py"
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [*isolated("net").split(), sys.executable, str(agent)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "XTABLES_LOCKFILE": str(Path(folder, "lock"))},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            if process.stdout.readline() != '"ready"\n':
                raise AssertionError(process.stderr.read().strip()[-500:])
            yield Node(process)
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
            process.stderr.close()
