"""What a large connection tracking table costs: ``python -m tests.bench.connections [--entries 1000000]``.

As ratios to splitting the lines into words: passing over all entries, keeping all of them, and
matching them to services. The memory of an entry that is kept is in bytes.
"""

from __future__ import annotations

import argparse
import random
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

from kinspect.parse.node.conntrack import read_connections


def table(entries: int) -> bytes:
    """Clients of one NodePort and some hundred pods, as ``conntrack -L -o extended`` prints them."""
    rng = random.Random(1)
    lines = []
    for number in range(entries):
        client = f"198.{18 + (number >> 16 & 1)}.{number >> 8 & 255}.{number & 255}"
        lines.append(
            f"ipv4     2 tcp      6 {rng.randrange(432000)} ESTABLISHED src={client} dst=192.168.0.11"
            f" sport={rng.randrange(1024, 65536)} dport=30375 src=10.42.19.{rng.randrange(2, 254)} dst={client}"
            f" sport=7000 dport={rng.randrange(1024, 65536)} [ASSURED] mark=0 use=1\n"
        )
    return "".join(lines).encode()


def seconds(step: Callable[[], Any]) -> float:
    """Of this process, so that others do not count."""
    before = time.process_time()
    step()
    return time.process_time() - before


def words(text: bytes) -> None:
    """A plain loop over the lines."""
    for line in text.splitlines():
        line.split()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=1_000_000)
    wanted = parser.parse_args()
    text = table(wanted.entries)
    split = seconds(lambda: words(text))
    print(f"{wanted.entries:,} entries, {len(text) >> 20} MB")
    skipped = seconds(lambda: read_connections([text], "x", lambda *_: False))
    print(f"passed over: {skipped / split:.1f} times splitting the lines")
    kept = seconds(lambda: read_connections([text], "x"))
    print(f"kept: {kept / split:.1f} times splitting the lines")
    tracemalloc.start()
    found = read_connections([text], "x")
    held, most = tracemalloc.get_traced_memory()
    print(
        f"memory: {held / len(found.entries):.0f} bytes an entry; {most / held:.1f} times that while reading"
    )


if __name__ == "__main__":
    main()
