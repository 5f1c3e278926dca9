"""What a large cluster costs: ``python -m tests.bench.large [--services 5000] [--times 3]``.

Whole processes, the best of so many runs in turns, as ratios to what another program takes on the
same machine in the same minute: a bare ``python -c pass``, or ``iptables-legacy-restore --test``
(C, parsing only) on one node's dump. Memory is the peak of the process and its children, each
child for itself, as ratio to the dump's size.
"""

from __future__ import annotations

import argparse
import atexit
import gzip
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass
class Cost:
    """Seconds from start to end, and the most memory that one process held, in bytes."""

    seconds: float
    memory: int


def cost(command: Sequence[str], stdin: Path | None) -> Cost:
    """Run a command once; its exit code is not asked for (a finding is one)."""
    with (stdin or Path(os.devnull)).open("rb") as source:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_compiled()
        )
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0
        return Cost(time.perf_counter() - began, used.ru_maxrss * 1024)


@lru_cache
def _compiled() -> dict[str, str]:
    """The environment in which modules are compiled once, as they are where kinspect is installed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    cache = tempfile.mkdtemp(prefix="kinspect-bench-")
    atexit.register(shutil.rmtree, cache)
    return {**env, "PYTHONPYCACHEPREFIX": cache}


def best(commands: Mapping[str, tuple[Sequence[str], Path | None]], times: int) -> dict[str, Cost]:
    """The least of several runs of each, taken in turns."""
    found: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(times):
        for name, (command, stdin) in commands.items():
            found[name].append(cost(command, stdin))
    return {
        name: Cost(min(c.seconds for c in costs), max(c.memory for c in costs))
        for name, costs in found.items()
    }


def made(folder: Path, services: int, endpoints: int, nodes: int = 2) -> Path:
    """A snapshot, made by another process: the memory of this one would count as its children's."""
    code = "import sys; from pathlib import Path; from tests.bench.scale import write;"
    code += f"write(Path(sys.argv[1]), {services}, {endpoints}, {nodes})"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    return folder


# What the API says of a cluster, read; and then one node's rules, written.
READ = """
import sys
from pathlib import Path
from kinspect.kubeproxy.rules import Here, everything
from kinspect.kubeproxy.settings import Detector, Settings
from kinspect.kubeproxy.usable import Place
from kinspect.parse.api.cluster import Cluster
from kinspect.snapshot.store import open_snapshot
cluster = Cluster(open_snapshot(Path(sys.argv[1])).api, "the bench")
services = [(service, cluster.endpoints(service.key)) for service in cluster.services()]
"""
WRITE = (
    READ
    + """
here = Here(Place("node1"), Settings(family=4, detector=Detector("-s", "10.42.0.0/16")), large=True)
everything(services, here).text()
"""
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=50, help="nodes of the cluster of many nodes")
    parser.add_argument("--times", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large = made(folder / "large", given.services, given.endpoints)
        fifth = made(folder / "fifth", given.services // 5, given.endpoints)
        two = made(folder / "two", given.services // 25, given.endpoints)
        many = made(folder / "many", given.services // 25, given.endpoints, given.nodes)
        dump = folder / "node1.rules"
        with gzip.open(large / "nodes/node1/iptables-save.txt.gz") as packed, dump.open("wb") as plain:
            shutil.copyfileobj(packed, plain)
        size = dump.stat().st_size
        kinspect = [sys.executable, "-m", "kinspect"]
        traced = ["trace", "svc/svc-00010", "-n", "scale", "--node", "node1", "-o", "json"]
        service = ["svc/svc-00010", "-n", "scale", "--snapshot", str(large)]
        costs = best(
            {
                "python": ([sys.executable, "-c", "pass"], None),
                "version": ([*kinspect, "--version"], None),
                "help": ([*kinspect, "trace", "--help"], None),
                "restore": (["iptables-legacy-restore", "--test"], dump),
                "snapshot": ([*kinspect, *traced, "--snapshot", str(large)], None),
                "rules": ([*kinspect, "trace", "10.43.1.12:80", "--rules", str(dump), "--local", "192.168.0.11"], None),
                "both": ([*kinspect, "trace", *service, "-o", "json"], None),
                "whatif": ([*kinspect, "whatif", *service, "-o", "json", "--set", "externalTrafficPolicy=Local"], None),
                "written": ([sys.executable, "-c", WRITE, str(large)], None),
                "read": ([sys.executable, "-c", READ, str(large)], None),
            },
            given.times,
        )  # fmt: skip
        audits = best(
            {
                path.name: ([*kinspect, "audit", "--snapshot", str(path), "-o", "json"], None)
                for path in (large, fifth, two, many)
            },
            max(1, given.times // 2),
        )
        _print(costs, audits, size, given.nodes)


def _print(costs: Mapping[str, Cost], audits: Mapping[str, Cost], size: int, nodes: int) -> None:
    def ratio(one: Cost, other: Cost) -> str:
        return f"{one.seconds / other.seconds:8.2f}"

    python, restore, large = costs["python"], costs["restore"], audits["large"]
    print(
        f"one node's dump: {size / 1e6:.1f} MB; parsed by iptables-legacy-restore --test in {restore.seconds:.2f} s"
    )
    print(f"{ratio(costs['version'], python)} × python -c pass        kinspect --version")
    print(f"{ratio(costs['help'], python)} × python -c pass        kinspect trace --help")
    print(
        f"{ratio(costs['snapshot'], restore)} × that parsing          kinspect trace --snapshot, gzip included"
    )
    print(f"{ratio(costs['rules'], restore)} × that parsing          kinspect trace --rules")
    print(
        f"{ratio(costs['whatif'], costs['both'])} × kinspect trace        kinspect whatif of one service, two nodes"
    )
    written = costs["written"].seconds - costs["read"].seconds
    print(
        f"{written / restore.seconds:8.2f} × that parsing          writing one node's rules from the API's objects"
    )
    print(f"{costs['snapshot'].memory / size:8.2f} × the dump's size       memory of the first")
    print(f"{costs['rules'].memory / size:8.2f} × the dump's size       memory of the second")
    print(
        f"{ratio(large, restore)} × that parsing          kinspect audit, two nodes ({large.memory / 1e6:.0f} MB a process)"
    )
    grown = math.log(large.seconds / audits["fifth"].seconds) / math.log(5)
    print(f"{grown:8.2f} the exponent           of audit, from a fifth of the services to all")
    print(
        f"{ratio(audits['many'], audits['two'])} × two nodes             audit of {nodes} nodes that differ in a few chains"
    )


if __name__ == "__main__":
    main()
