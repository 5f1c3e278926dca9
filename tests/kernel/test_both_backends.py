"""Rules in both back ends of one real kernel: who is asked first is bounded, and counters tell who was."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from kinspect.checks.backends import back_ends
from kinspect.evaluate.path import evaluate
from kinspect.model.rules import Verdict
from kinspect.parse.node.host import read_host
from kinspect.parse.rules.dump import read_dump
from tests.kernel.case import SWITCHES, Probe
from tests.kernel.netns import node

pytestmark = pytest.mark.kernel

PROBE = Probe("eth0", "198.51.100.7", "10.43.0.10", 6, 40000, 80, 2, 0, 0, 1)


def rules(pod: str) -> str:
    """What kube-proxy would write for one endpoint."""
    return (
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n"
        ":KUBE-SERVICES - [0:0]\n:KUBE-SVC-7D2UHO4TZ2PZ5JYN - [0:0]\n:KUBE-SEP-6XJ5JTRBCEUHTFBO - [0:0]\n"
        "-A PREROUTING -j KUBE-SERVICES\n"
        "-A KUBE-SERVICES -d 10.43.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-7D2UHO4TZ2PZ5JYN\n"
        "-A KUBE-SVC-7D2UHO4TZ2PZ5JYN -j KUBE-SEP-6XJ5JTRBCEUHTFBO\n"
        f"-A KUBE-SEP-6XJ5JTRBCEUHTFBO -p tcp -m tcp -j DNAT --to-destination {pod}:80\nCOMMIT\n"
    )


@pytest.mark.parametrize("order", [("legacy", "nft"), ("nft", "legacy")], ids=" first, then ".join)
def test_the_answer_holds_for_either_order_and_counters_tell_which_it_was(order: Sequence[str]) -> None:
    pods = {"legacy": "10.1.0.5", "nft": "10.1.0.9"}
    with node() as made:
        made.switch(SWITCHES)
        for backend in order:
            made.load(rules(pods[backend]), backend, 4)
        files = {
            **made.files(),
            "sysctl.txt": "".join(f"{key} = {value}\n" for key, value in SWITCHES.items()).encode(),
        }
        host, _ = read_host("node", files)

        def dumps() -> list:  # type: ignore[type-arg]
            return [
                read_dump(made.save(backend, 4).encode(), source=backend, family=4, backend=backend)  # type: ignore[arg-type]
                for backend in pods
            ]

        before = dumps()
        evaluation = evaluate(PROBE.packet(), host, before)
        bounds = {
            str(way.packet.dst): way.weight.bounds() for way in evaluation if way.verdict is Verdict.ACCEPT
        }
        assert bounds == dict.fromkeys(pods.values(), (Fraction(0), Fraction(1)))
        (warning,) = back_ends("node", before, evaluation).warnings
        assert "no dump tells" in warning
        assert "only those of" not in warning

        (sent,) = made.send([(PROBE.where, PROBE.wire(0))])
        used = {pod: backend for backend, pod in pods.items()}
        met = next(used[pod] for pod in used if bytes.fromhex(sent["data"])[16:20] == _packed(pod))
        after = dumps()
        evaluation = evaluate(PROBE.packet(), host, after)
        (warning,) = back_ends("node", after, evaluation).warnings
        assert f"only those of {met} " in warning


def _packed(address: str) -> bytes:
    return bytes(int(part) for part in address.split("."))
