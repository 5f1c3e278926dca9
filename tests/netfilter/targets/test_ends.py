"""Targets that end the walk, or leave it to others: verdicts, REJECT, queues, proxies."""

from __future__ import annotations

import pytest

from kinspect.model.packet import Packet, TcpFlag
from kinspect.model.rules import End, Enter, OneOf
from kinspect.netfilter.targets.reject import Reject
from tests.netfilter.tables import Answer, act, ends, packet, packet6, refused, rule

TCP = packet(protocol=6, tcp_flags=TcpFlag.SYN)
PROXIED = "the client completes the handshake with SYNPROXY"
VERDICTS: list[tuple[str, Packet, list[tuple[Answer, str]]]] = [
    ("-j ACCEPT", packet(), [(True, "ACCEPT")]),
    ("-j DROP", packet(), [(True, "DROP")]),
    ("-j RETURN", packet(), [(True, "Back")]),
    ("-j REJECT", packet(), [(True, "REJECT")]),
    ("-j QUEUE", packet(), [("a program listens on netfilter queue 0", "QUEUE"), (True, "DROP")]),
    ("-j NFQUEUE", packet(), [("a program listens on netfilter queue 0", "QUEUE"), (True, "DROP")]),
    (
        "-j NFQUEUE --queue-num 200 --queue-bypass",
        packet(),
        [("a program listens on netfilter queue 200", "QUEUE"), (True, "ACCEPT")],
    ),
    (
        "-j NFQUEUE --queue-balance 0:3 --queue-cpu-fanout",
        packet(),
        [("a program listens on netfilter queues 0 to 3", "QUEUE"), (True, "DROP")],
    ),
    (
        "-p udp -j TPROXY --on-port 15001 --on-ip 127.0.0.1 --tproxy-mark 0x200/0xffffffff",
        packet(),
        [("a transparent proxy of this host listens on udp 127.0.0.1:15001", "ACCEPT"), (True, "DROP")],
    ),
    (
        "-p udp -j TPROXY --on-port 0 --on-ip 0.0.0.0",
        packet(),
        [("a transparent proxy of this host listens on udp 10.2.0.2:53", "ACCEPT"), (True, "DROP")],
    ),
    (
        "-p tcp -j SYNPROXY --sack-perm --timestamp --mss 1460 --wscale 9",
        TCP,
        [(PROXIED, "ACCEPT"), (True, "DROP")],
    ),
    ("-p tcp -j SYNPROXY", packet(protocol=6, tcp_flags=TcpFlag.SYN | TcpFlag.ACK), [(True, "Proceed")]),
    (
        "-j GEOTARGET --x",
        packet(),
        [("-j GEOTARGET --x lets the packet go on unchanged", "Proceed"), (True, "DROP")],
    ),
]
ANSWERS_4 = [
    ("icmp-port-unreachable", "icmp-port-unreachable"),
    ("icmp-admin-prohibited", "icmp-admin-prohibited"),
    ("host-prohib", "icmp-host-prohibited"),
    ("tcp-reset", "tcp-reset"),
    ("tcp-rst", "tcp-reset"),
]
REFUSED = [
    (
        "-j REJECT --reject-with politely",
        "expected a type of answer, such as icmp-port-unreachable, after --reject-with",
        "politely",
    ),
    ("-j REJECT --reject-with", "expected a value after --reject-with", "--reject-with"),
    ("-j NFQUEUE --queue-num 65536", "expected the number of a queue after --queue-num", "65536"),
    ("-j NFQUEUE --queue-balance 3:1", "expected a range of queues, as N:M, after --queue-balance", "3:1"),
    ("-j TPROXY", "expected --on-port", "-j"),
    ("-j TPROXY --on-port x", "expected a port after --on-port", "x"),
    ("-j SYNPROXY --mss x", "expected a number after --mss", "x"),
]


@pytest.mark.parametrize(("words", "of", "verdicts"), VERDICTS)
def test_how_it_ends(words: str, of: Packet, verdicts: list[tuple[Answer, str]]) -> None:
    assert ends(act(words, of)) == verdicts


@pytest.mark.parametrize(("written", "meant"), ANSWERS_4)
def test_what_reject_answers(written: str, meant: str) -> None:
    assert rule(f"-j REJECT --reject-with {written}").target == Reject(meant)


def test_what_reject_answers_in_ipv6() -> None:
    assert rule("-j REJECT --reject-with adm-prohibited", 6).target == Reject("icmp6-adm-prohibited")


def test_a_proxied_packet_has_the_mark() -> None:
    effect = act("-p udp -j TPROXY --on-port 1 --tproxy-mark 0x1/0x3", packet6(mark=0x6))
    assert isinstance(effect, OneOf)
    accepted = effect.effects[0][1]
    assert isinstance(accepted, End)
    assert accepted.packet.mark == 0x5


@pytest.mark.parametrize(("words", "goto"), [("-j KUBE-SVC-X", False), ("-g KUBE-SVC-X", True)])
def test_another_chain_is_entered(words: str, goto: bool) -> None:
    effect = act(words)
    assert isinstance(effect, Enter)
    assert (effect.chain, effect.goto) == ("KUBE-SVC-X", goto)


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
