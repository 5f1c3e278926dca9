"""``python -m tests.kernel --minutes 30``: the differential test for as long as one likes.

``--routing``: policy rules, routes, sources and switches, in place of rules of all kinds.
Counts pairs of a rule set and a packet; a disagreement is shrunk and written to ``tests/kernel/cases``.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections import Counter
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from random import Random

from kinspect.model.packet import Family
from tests.kernel import generate_routing
from tests.kernel.case import Case
from tests.kernel.differential import Bench
from tests.kernel.generate import make
from tests.kernel.netns import Refused, node
from tests.kernel.shrink import shrunk

CASES = Path(__file__).parent / "cases"
_CHUNK = 20  # cases of a kind before the next, as changing the back end costs time
DRAWS = ("none", "none", "none", "random", "nth")


def explore(bench: Bench, case: Case) -> tuple[Case, list[str]] | None:
    """The smallest part of a case on which the kernel and the evaluator differ, and how; None: they agree."""
    if not disagree(bench, case):
        return None
    smallest = shrunk(case, lambda smaller: bool(disagree(bench, smaller)))
    return smallest, disagree(bench, smallest)


def disagree(bench: Bench, case: Case) -> list[str]:
    """How they differ; nothing where iptables refuses the rules."""
    try:
        found = bench.differences(case)
        if found and case.probes[0].times > 1:
            found = bench.differences(case)  # a draw may go astray once, hardly twice
    except Refused as refused:
        bench.refused[str(refused).splitlines()[0]] += 1
        return []
    return found


def write(case: Case, folder: Path) -> Path:
    """A new case file, named by what it holds."""
    folder.mkdir(exist_ok=True)
    text = case.text()
    path = folder / f"found-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"
    path.write_text(text)
    return path


def main() -> None:
    """Run until the time is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.kernel")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--backend", choices=("legacy", "nft"), action="append")
    parser.add_argument("--family", type=int, choices=(4, 6), action="append")
    parser.add_argument("--draws", choices=("none", "random", "nth"), action="append")
    parser.add_argument("--routing", action="store_true", help="of generate_routing, not of generate")
    parser.add_argument(
        "--both", action="store_true", help="rules in both back ends in every case, not in a fifth"
    )
    parser.add_argument("--folder", type=Path, default=CASES, help="where to write what was found")
    args = parser.parse_args()
    end, number, disagreements = time.monotonic() + 60 * args.minutes, args.seed, 0
    pairs: Counter[tuple[str, Family, str]] = Counter()
    kinds = list(product(args.backend or ("legacy", "nft"), args.family or (4, 6), args.draws or DRAWS))
    with node() as made:
        bench = Bench(made)
        while time.monotonic() < end:
            for backend, family, draws in kinds:
                before = bench.pairs
                for _ in range(_CHUNK):
                    number += 1
                    both = args.both or number % 5 == 0
                    if args.routing:
                        case = generate_routing.make(Random(number), family, backend)
                    else:
                        drawn = "" if draws == "none" else draws
                        case = make(Random(number), backend, family, drawn, both=both)
                    found = explore(bench, case)
                    if found is not None:
                        disagreements += 1
                        _show(*found, write(found[0], args.folder))
                pairs[backend, family, draws] += bench.pairs - before
            _report(bench, pairs, disagreements)


def _show(case: Case, found: list[str], path: Path) -> None:
    print(
        f"{path}: {case.backend}",
        *case.rules,
        *case.setup,
        *case.sets,
        *case.switches.items(),
        *case.probes,
        sep="\n    ",
    )
    print(*found, sep="\n  ", flush=True)


def _report(bench: Bench, pairs: Mapping[tuple[str, Family, str], int], disagreements: int) -> None:
    each = ", ".join(
        f"{backend} {family} {draws} {count}" for (backend, family, draws), count in pairs.items()
    )
    print(
        f"{bench.pairs} pairs in {bench.cases} rule sets ({each}); {disagreements} disagreements; "
        f"{bench.open_answers} answers open; {bench.refused.total()} rule sets refused",
        flush=True,
    )
    for what, count in [*bench.questions.most_common(5), *bench.refused.most_common(3)]:
        print(f"    {count} × {what}", flush=True)


if __name__ == "__main__":
    main()
