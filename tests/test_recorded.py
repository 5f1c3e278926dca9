"""Every recorded measurement: where the kernel sent real connections is where the answer says.

The counts are the kernel's own, of rules that took a connection; a share agrees where it lies
within five standard deviations of its count, and what is certain agrees only where it is exact.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest

from kinspect.model.rules import Verdict
from tests.clusters import DATA, packet, walked

IIF = {"client": "eth0", "pod": "cni0"}

CLUSTERS = sorted(path.parent.name for path in DATA.glob("*/observed.json"))
MEASUREMENTS = [
    pytest.param(
        cluster,
        row,
        id=f"{cluster}-{row['service']}-{row['via']}-{row['node']}-{row['dst']}:{row['dport']}-{number}",
    )
    for cluster in CLUSTERS
    for number, row in enumerate(json.loads((DATA / cluster / "observed.json").read_text()))
    # With client affinity all flows of the one client that was measured go one way.
    if row["hits"] and not any("recent" in hit["rule"] for hit in row["hits"])
]


def agrees(hits: int, total: int, share: Fraction) -> bool:
    if share in (0, 1):
        return hits == total * share
    p = float(share)
    return abs(hits - total * p) <= 5 * math.sqrt(total * p * (1 - p))


def test_the_recordings_are_there() -> None:
    assert len(CLUSTERS) == 8
    assert len(MEASUREMENTS) > 200


@pytest.mark.parametrize(("cluster", "row"), MEASUREMENTS)
def test_shares_are_those_that_the_kernel_dealt(cluster: str, row: dict[str, Any]) -> None:
    probe = packet(row["source"], row["dst"], row["dport"], row["protocol"], iif=IIF[row["from"]])
    evaluation = walked(cluster, row["node"], probe)
    seen: Counter[str] = Counter()
    masqueraded = 0
    for hit in row["hits"]:
        target = re.search(r"-j (\S+)(?:.* --to-destination (\S+))?", hit["rule"])
        assert target is not None
        if target[1] == "MASQUERADE":
            masqueraded += hit["hits"]
        else:
            seen[target[2] or target[1]] += hit["hits"]
    said: dict[str, Fraction] = {}
    hidden = Fraction(0)
    for way in evaluation.ways:
        share = way.weight.exact
        assert share is not None, "every match of the recordings is decided"
        address = f"[{way.packet.dst}]" if way.packet.family == 6 else str(way.packet.dst)
        key = f"{address}:{way.packet.dport}" if way.verdict is Verdict.ACCEPT else way.verdict.value
        said[key] = said.get(key, Fraction(0)) + share
        hidden += share if way.verdict is Verdict.ACCEPT and way.snat else 0
    assert sum(said.values()) == 1
    total = sum(seen.values())
    for key in seen.keys() | said.keys():
        assert agrees(seen[key], total, said.get(key, Fraction(0))), (key, seen, said)
    assert agrees(min(masqueraded, total), total, hidden)
