"""What reading a large cluster's API costs: ``python -m tests.bench.api [--services 5000] [--times 5]``.

The services and EndpointSlices of a cluster that is made up are read from a server that replays
them, over TLS and in pages, and made into services and endpoints; as ratio to what ``json.loads``
takes for the same bytes. The server is another process, and has its answers ready: a second core
sends them, so the time is the client's.
"""

from __future__ import annotations

import argparse
import functools
import gc
import gzip
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from kinspect.collect.api_lists import connect
from kinspect.parse.api.cluster import Cluster
from tests.bench.scale import write
from tests.collect import replay
from tests.collect.replay import ReplayServer


def serve(folder: Path, place: Path, told: Connection) -> None:
    """Answer until the other side is done; what was answered once is ready from then on."""
    answers: dict[str, tuple[int, bytes]] = {}
    real: Callable[..., tuple[int, bytes]] = replay._Handler._answer

    def answer(self: Any, parts: list[str], query: dict[str, str]) -> tuple[int, bytes]:
        if self.path not in answers:
            answers[self.path] = real(self, parts, query)
        return answers[self.path]

    replay._Handler._answer = answer  # type: ignore[method-assign]
    replay.gzip.compress = functools.cache(gzip.compress)  # type: ignore[attr-defined]
    with ReplayServer(folder, place) as server:
        told.send(server.kubeconfig)
        told.recv()


def lists_of(kubeconfig: Path) -> dict[str, bytes]:
    """The services' and the EndpointSlices' lists, as they came."""
    with connect(str(kubeconfig)) as api:
        return {f"{kind}.json": api.list(kind) for kind in ("services", "endpointslices")}


def understood(lists: dict[str, bytes]) -> Cluster:
    """The lists decoded, as every command does."""
    cluster = Cluster(lists, "the API")
    assert cluster.service_names()
    assert cluster.has_slices()
    return cluster


def made(cluster: Cluster) -> int:
    """How many endpoints all services have, each made: what a look at everything needs."""
    return sum(len(cluster.endpoints(service.key)) for service in cluster.services())


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--services", type=int, default=5000)
    parser.add_argument("--endpoints", type=int, default=10)
    parser.add_argument("--times", type=int, default=5, help="the best of so many runs, in turns, counts")
    given = parser.parse_args()
    gc.disable()  # as the command line does
    with tempfile.TemporaryDirectory() as name:
        folder = write(Path(name) / "cluster", given.services, given.endpoints)
        own, other = multiprocessing.Pipe()
        server = multiprocessing.Process(target=serve, args=(folder, Path(name), other), daemon=True)
        server.start()
        kubeconfig = own.recv()
        lists = lists_of(kubeconfig)  # once for the server to have its answers ready
        plain, walls, cpus, whole = [], [], [], []
        for _ in range(given.times):
            began = time.perf_counter()
            for data in lists.values():
                json.loads(data)
            plain.append(time.perf_counter() - began)
            began, worked = time.perf_counter(), time.process_time()
            cluster = understood(lists_of(kubeconfig))
            walls.append(time.perf_counter() - began)
            cpus.append(time.process_time() - worked)
            endpoints = made(cluster)
            whole.append(time.perf_counter() - began)
            gc.collect()
        own.send("done")
        server.join()
    size = sum(map(len, lists.values()))
    loads = min(plain)
    print(f"{given.services} services, {endpoints} endpoints, {size / 1e6:.1f} MB of JSON")
    print(f"json.loads of it            {loads:6.2f} s")
    print(f"read, by the clock          {min(walls):6.2f} s   {min(walls) / loads:4.2f} × that")
    print(f"read, CPU                   {min(cpus):6.2f} s   {min(cpus) / loads:4.2f} × that")
    print(f"read, and each endpoint made{min(whole):6.2f} s   {min(whole) / loads:4.2f} × that")


if __name__ == "__main__":
    main()
