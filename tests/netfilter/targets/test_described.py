"""What a target does, in the few words that a tree shows."""

from __future__ import annotations

import importlib

import pytest

from kinspect.netfilter import registry
from tests.netfilter.tables import rule

ROWS = [
    ("-j ACCEPT", "ACCEPT", "other"),
    ("-j DROP", "DROP", "ends"),
    ("-j RETURN", "RETURN", "other"),
    ("-j KUBE-SVC-A", "KUBE-SVC-A", "other"),
    ("-g KUBE-SVC-A", "KUBE-SVC-A", "other"),
    ("-j REJECT", "REJECT", "ends"),
    ("-j REJECT --reject-with tcp-reset", "REJECT with tcp-reset", "ends"),
    ("-j MARK --set-xmark 0x4000/0x4000", "MARK 0x4000/0x4000", "other"),
    ("-p tcp -j DNAT --to-destination 10.0.0.1:80", "DNAT to 10.0.0.1:80", "rewrites"),
    ("-p tcp -j DNAT --to-destination 10.0.0.1-10.0.0.9:80-90 --random", "DNAT to 10.0.0.1-10.0.0.9:80-90 --random", "rewrites"),
    ("-p tcp -j DNAT --to-destination :80", "DNAT to :80", "rewrites"),
    ("-j SNAT --to-source 10.0.0.1", "SNAT to 10.0.0.1", "rewrites"),
    ("-j MASQUERADE --random-fully", "MASQUERADE --random-fully", "rewrites"),
    ("-p tcp -j MASQUERADE --to-ports 1-9", "MASQUERADE to ports 1-9", "rewrites"),
    ("-p tcp -j REDIRECT --to-ports 8080", "REDIRECT to port 8080", "rewrites"),
    ("-j NETMAP --to 10.0.0.0/8", "NETMAP to 10.0.0.0/255.0.0.0", "rewrites"),
    ("-j LOG --log-prefix \"a b\" --log-uid", "LOG --log-prefix \"a b\" --log-uid", "other"),
    ("-j NFQUEUE --queue-balance 1:3", "NFQUEUE 1:3", "other"),
    ("-j FROB --token x", "FROB --token x", "other"),
    ("", "", "other"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "text", "role"), ROWS)
def test_what_it_does_in_short(words: str, text: str, role: str) -> None:
    target = rule(words).target
    assert target is not None
    described = target.described()
    assert (described.text, described.role) == (text, role)


def test_every_target_says_what_it_does() -> None:
    for module in sorted(set(registry.TARGETS.values())):
        loaded = importlib.import_module(f"kinspect.netfilter.targets.{module}")
        acting = [each for each in vars(loaded).values() if isinstance(each, type) and hasattr(each, "act")]
        assert acting
        assert all(hasattr(each, "described") for each in acting), module
