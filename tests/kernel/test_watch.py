"""What a real kernel counted: draws of its own, and draws that a hand led elsewhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.cli.run import kinspect
from tests.kernel.test_connections import NEXT, NODE, POD, Lab
from tests.needs import needs

pytestmark = pytest.mark.kernel

RULES = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SEP-B - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-NODEPORTS -p tcp -m tcp --dport 31000 -j KUBE-SVC-A
-A KUBE-SVC-A -m statistic --mode random --probability {first} -j KUBE-SEP-A
-A KUBE-SVC-A -j KUBE-SEP-B
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination {a}:8080
-A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination {b}:8080
COMMIT
"""
CONNECTIONS = 1500

# Opens so many connections, one after the other, each closed with a reset so that no port is left waiting.
CLIENT = """
import socket, struct, sys
for _ in range(int(sys.argv[3])):
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    needs("unshare", "nsenter", "ip", "iptables-nft-restore", "conntrack", "sysctl")
    with ExitStack() as stack:
        made = Lab(stack, tmp_path / "snapshot")
        made.endpoints([POD, NEXT], rules=False)
        yield made


def sent(lab: Lab, probability: str) -> None:
    """Real connections through rules that draw with this probability."""
    lab.node.run("iptables-nft-restore", RULES.format(first=probability, a=POD, b=NEXT))
    words = [*lab.client.enter, sys.executable, "-c", CLIENT, NODE, "31000", str(CONNECTIONS)]
    subprocess.run(words, check=True, timeout=120)


def counted(folder: Path) -> dict[str, Any]:
    argv = ("trace", "svc/x:web", "--via", "nodeport", "--snapshot", str(folder), "--counters", "-o", "json")
    ran = kinspect(*argv)
    assert ran.out, ran.err
    return {each["to"]: each for each in ran.json["counters"]}


def test_real_connections_through_equal_rules_are_chance(lab: Lab) -> None:
    sent(lab, "0.5")
    found = counted(lab.snapshot())
    assert sum(each["connections"] for each in found.values()) == CONNECTIONS
    assert {each["share"] for each in found.values()} == {0.5}
    assert {each["judgement"] for each in found.values()} == {"chance"}


def test_three_fifths_beside_equal_rules_are_more_than_chance(lab: Lab) -> None:
    """Drawn with 0.6 by the kernel, while the rules at hand say one half."""
    sent(lab, "0.6")
    folder = lab.snapshot()
    assert {each["judgement"] for each in counted(folder).values()} == {"chance"}, "the rules that drew them"
    dump = folder / "nodes/node1/iptables-save.txt"
    text = dump.read_text()
    equal = "".join(
        line.replace(line.split("--probability ")[1].split()[0], "0.50000000000") if "--probability" in line else line
        for line in text.splitlines(keepends=True)
    )  # fmt: skip
    assert equal != text
    dump.write_text(equal)
    found = counted(folder)
    assert {each["share"] for each in found.values()} == {0.5}
    assert {each["judgement"] for each in found.values()} == {"more-than-chance"}
