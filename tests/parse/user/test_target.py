"""Targets and senders, as users type them."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kinspect.errors import CallError
from kinspect.parse.user.target import (
    AddressTarget,
    FromAddress,
    FromNode,
    FromPod,
    NodePortTarget,
    Sender,
    ServiceTarget,
    TraceTarget,
    read_sender,
    read_target,
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("web", ServiceTarget("web")),
        ("svc/web", ServiceTarget("web")),
        ("service/web:http", ServiceTarget("web", None, "http")),
        ("svc/web:80", ServiceTarget("web", None, "80")),
        ("shop/web", ServiceTarget("web", "shop")),
        ("shop/web:443", ServiceTarget("web", "shop", "443")),
        ("svc/shop/web:443", ServiceTarget("web", "shop", "443")),
        ("10.43.0.1:80", AddressTarget(ip_address("10.43.0.1"), 80, 6)),
        ("10.43.0.1:53/udp", AddressTarget(ip_address("10.43.0.1"), 53, 17)),
        ("[fd00::1]:80/udp", AddressTarget(ip_address("fd00::1"), 80, 17)),
        ("10.43.0.1/icmp", AddressTarget(ip_address("10.43.0.1"), None, 1)),
        (":31000", NodePortTarget(31000, 6)),
        (":31000/sctp", NodePortTarget(31000, 132)),
    ],
)
def test_targets(text: str, target: TraceTarget) -> None:
    assert read_target(text) == target


@pytest.mark.parametrize(
    "text",
    ["", "/", "svc/", "svc/a/b/c", "svc/-a", "a b", "svc/$(id)", "10.43.0.1", "fd00::1", "10.0.0.1:0", ":0", ":99999", "svc/a:",
     "10.0.0.1:80/foo", "1.2.3.4.5:80", "pod/x", "node/x", "svc/\x1b[2J"],
)  # fmt: skip
def test_what_cannot_be_read_is_a_call_error(text: str) -> None:
    with pytest.raises(CallError):
        read_target(text)


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("node/n1", FromNode("n1")),
        ("pod/a", FromPod("a")),
        ("pod/ns/a", FromPod("a", "ns")),
        ("10.0.0.1", FromAddress(ip_address("10.0.0.1"))),
        ("[fd00::1]", FromAddress(ip_address("fd00::1"))),
    ],
)
def test_senders(text: str, sender: Sender) -> None:
    assert read_sender(text) == sender


@pytest.mark.parametrize("text", ["", "node/", "node/a/b", "pod/a/b/c", "svc/a", "10.0.0.300", "node/$(id)"])
def test_what_is_no_sender_is_a_call_error(text: str) -> None:
    with pytest.raises(CallError):
        read_sender(text)


@given(st.text(max_size=60))
def test_no_text_does_worse(text: str) -> None:
    for read in (read_target, read_sender):
        with contextlib.suppress(CallError):
            read(text)
