"""Reads many nodes at once, up to a limit; one that fails does not stop the others."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from kinspect.collect.options import Progress
from kinspect.collect.ports import NodeShell, RemoteNode
from kinspect.errors import KinspectError
from kinspect.snapshot.types import Files, NodeName


def gather(
    shell: NodeShell,
    hosts: Sequence[RemoteNode],
    parallel: int | None = None,
    progress: Progress | None = None,
) -> tuple[dict[NodeName, Files], dict[NodeName, str]]:
    """(files by node, reasons by node that failed), in the order of the hosts.

    At an interrupt, running reads are ended and the interrupt is raised again.
    """
    if not hosts:
        return {}, {}
    most = parallel or min(32, 4 * (os.cpu_count() or 1))
    done: dict[NodeName, Files] = {}
    failed: dict[NodeName, str] = {}
    with ThreadPoolExecutor(max_workers=min(most, len(hosts)), thread_name_prefix="node") as pool:
        waiting = {pool.submit(shell.fetch, host): host.name for host in hosts}
        try:
            for future in as_completed(waiting):
                name = waiting[future]
                try:
                    done[name] = future.result()
                    reason = None
                except KinspectError as error:
                    reason = failed[name] = str(error)
                if progress is not None:
                    progress(name, reason)
        except BaseException:
            for future in waiting:
                future.cancel()
            shell.close()
            raise
    names = [host.name for host in hosts]
    return {n: done[n] for n in names if n in done}, {n: failed[n] for n in names if n in failed}
