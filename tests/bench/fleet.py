"""What a fleet costs: python -m tests.bench.fleet [--nodes 40] [--parallel 8] [--rules 20000]

Prints ratios, which another machine can be compared by: all nodes against one, and against a plain
loop of ssh (``xargs -P``, as many at once) that runs the same script on the same nodes. The nodes
are real sshds on loopback, so their work, too, is done by this machine's cores: a real fleet does
that part for itself.
"""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from kinspect.collect.fanout import gather
from kinspect.collect.options import SshOptions
from kinspect.collect.ports import RemoteNode
from kinspect.collect.ssh import SshShell
from kinspect.snapshot.types import NodeName
from tests.collect.fleet import Fleet, fleet


def main() -> None:
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--nodes", type=int, default=40)
    arguments.add_argument("--parallel", type=int, default=min(32, 4 * (os.cpu_count() or 1)))
    arguments.add_argument("--rules", type=int, default=20_000, help="rules more on each node")
    arguments.add_argument("--times", type=int, default=5, help="the best of so many runs, in turns, counts")
    given = arguments.parse_args()
    names = [f"node{n}" for n in range(given.nodes)]
    with tempfile.TemporaryDirectory() as folder, fleet(Path(folder), names) as made:
        size = _grow(Path(folder), names, given.rules)
        print(
            f"{given.nodes} nodes, {size / 1e6:.1f} MB of rules each, {given.parallel} at once, {os.cpu_count()} cores"
        )
        measured = _measured(
            given.times,
            lambda: _gathered(made, names[:1], 1),
            lambda: _gathered(made, names, given.parallel),
            _loop(made, Path(folder), given.parallel),
            _loop(made, Path(folder), given.parallel, script="exit 0"),
        )
        (one, _), (all_, cpu), (plain, cpu_plain), (greeting, cpu_greeting) = measured
        print(f"one node                          {one:6.2f} s")
        print(
            f"all nodes                         {all_:6.2f} s   {all_ / one:5.1f} × one node ({all_ / one / given.nodes:.2f} × a node)"
        )
        print(
            f"xargs -P{given.parallel} ssh, same script       {plain:6.2f} s   kinspect takes {all_ / plain:4.2f} × that, and {cpu / cpu_plain:4.2f} × its CPU"
        )
        print(
            f"xargs -P{given.parallel} ssh exit 0: handshakes {greeting:6.2f} s   {greeting / all_:4.0%} of kinspect's time"
        )
        print(
            f"the slowest of one node and these {max(one, greeting):5.2f} s   kinspect takes {all_ / max(one, greeting):4.2f} × that"
        )
        print(
            f"CPU of ssh clients and kinspect   {cpu:6.2f} s   handshakes alone: {cpu_greeting / cpu:4.0%} of it"
        )
        held = _peak(made, names, given.parallel)
        print(
            f"peak memory of kinspect           {held:6.0f} MiB  {held * (1 << 20) / size / given.nodes:4.1f} × all rules that it holds"
        )


def _grow(folder: Path, names: list[str], rules: int) -> int:
    """As many rules more on each node; the size of its dump."""
    more = "".join(
        f'-A KUBE-SERVICES -d 10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}/32 -p tcp -m comment --comment "shop/s{n} cluster IP"'
        f" -m tcp --dport 80 -j KUBE-SVC-AEJ565DT7YN2S3PD\n"
        for n in range(rules)
    )
    for name in names:
        path = folder / name / "recorded" / "iptables-save.txt"
        text = path.read_text()
        nat = text.index("*nat")
        end = text.index("COMMIT", nat)
        path.write_text(text[:end] + more + text[end:])
    return path.stat().st_size


def _gathered(made: Fleet, names: list[str], parallel: int) -> None:
    options = SshOptions(port=made.port, target="{hostname}", options=made.ssh_options, timeout=120)
    hosts = [RemoteNode(NodeName(name), {"Hostname": made.addresses[name]}) for name in names]
    done, failed = gather(SshShell(options), hosts, parallel)
    assert len(done) == len(names), failed


def _loop(made: Fleet, folder: Path, parallel: int, script: str | None = None) -> Callable[[], None]:
    """What somebody would type without kinspect: each node's output in a file."""
    text = folder / ("script" if script is None else "nothing")
    if script is None:
        text.write_bytes((resources.files("kinspect.collect") / "remote.sh").read_bytes())
    else:
        text.write_text(f"{script}\n")
    (folder / "out").mkdir(exist_ok=True)
    words = ["ssh", "-T", "-o", "BatchMode=yes", "-p", str(made.port)]
    for option in made.ssh_options:
        words += ["-o", option]
    command = f"{shlex.join(words)} -- {{}} 'sh -s -- abc no 0' < {text} > {folder}/out/{{}}"
    addresses = "\n".join(made.addresses.values())

    def run() -> None:
        subprocess.run(
            ["xargs", f"-P{parallel}", "-I{}", "sh", "-c", command], input=addresses, text=True, check=True
        )

    return run


def _measured(times: int, *actions: Callable[[], None]) -> list[tuple[float, float]]:
    """Of each the least seconds of the clock, and of this side's processors: this process and its children.

    They run in turns, so that what else the machine does is fair to all.
    """
    found: list[list[tuple[float, float]]] = [[] for _ in actions]
    for _ in range(times):
        for action, runs in zip(actions, found, strict=True):
            begun, before = time.monotonic(), _cpu()
            action()
            runs.append((time.monotonic() - begun, _cpu() - before))
    return [min(runs) for runs in found]


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _peak(made: Fleet, names: list[str], parallel: int) -> float:
    """Peak resident memory, in MiB, of a process of its own that does nothing else."""
    code = (
        "import resource; from tests.bench.fleet import _gathered; from types import SimpleNamespace as S;"
        f"_gathered(S(port={made.port}, ssh_options={made.ssh_options!r}, addresses={made.addresses!r}),"
        f" {names!r}, {parallel}); print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


if __name__ == "__main__":
    main()
