"""The smallest part of a case that still fails: packets and rules are left out, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

from tests.kernel.case import Case

T = TypeVar("T")


def shrunk(case: Case, fails: Callable[[Case], bool]) -> Case:
    """The smallest found by leaving out parts, big ones first."""
    again = True
    while again:
        again = False
        for smaller in _smaller(case):
            if fails(smaller):
                case, again = smaller, True
                break
    return case


def _smaller(case: Case) -> Iterator[Case]:
    for probes in _parts(case.probes):
        if probes:
            yield replace(case, probes=probes)
    for table in [line for line in case.rules if line.startswith("*")]:
        start = case.rules.index(table)
        end = case.rules.index("COMMIT", start) + 1
        yield replace(case, rules=case.rules[:start] + case.rules[end:])
    written = tuple(at for at, line in enumerate(case.rules) if line.startswith("-A"))
    for kept in _parts(written):
        yield replace(
            case, rules=tuple(line for at, line in enumerate(case.rules) if at in kept or at not in written)
        )
    for at, line in enumerate(case.rules):
        for words in _plainer(line):
            yield replace(case, rules=(*case.rules[:at], words, *case.rules[at + 1 :]))
    for kept_lines in _parts(case.setup):
        yield replace(case, setup=kept_lines)
    if case.other:
        yield replace(case, other=())
        yield replace(
            case, rules=case.other, other=(), backend={"legacy": "nft", "nft": "legacy"}[case.backend]
        )
        for smaller in _smaller(replace(case, rules=case.other, other=(), sets=(), switches={})):
            if smaller.probes == case.probes:
                yield replace(case, other=smaller.rules)
    if case.sets:
        yield replace(case, sets=())
    for kept_sets in _parts(case.sets):
        yield replace(case, sets=kept_sets)
    for name in case.switches:
        yield replace(case, switches={key: value for key, value in case.switches.items() if key != name})
    names = {line.split()[0][1:] for line in case.rules if line.startswith(":") and " - " in line}
    for name in names:
        if not any(line.startswith(f"-A {name}") or line.endswith(f" {name}") for line in case.rules):
            yield replace(case, rules=tuple(line for line in case.rules if not line.startswith(f":{name} ")))


def _parts(items: tuple[T, ...]) -> Iterator[tuple[T, ...]]:
    """All without a half, a quarter, … one."""
    size = len(items) // 2
    while size:
        for at in range(0, len(items), size):
            yield items[:at] + items[at + size :]
        size //= 2
    if len(items) == 1:
        yield ()


def _plainer(line: str) -> Iterator[str]:
    """A rule without one of its options."""
    if not line.startswith("-A"):
        return
    words = line.split(" ")
    starts = [at for at, word in enumerate(words) if word.startswith("-") and len(word) == 2 and at]
    for number, at in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(words)
        start = at - 1 if words[at - 1] == "!" else at
        end = end - 1 if end < len(words) and words[end - 1] == "!" else end
        yield " ".join(words[:start] + words[end:])
