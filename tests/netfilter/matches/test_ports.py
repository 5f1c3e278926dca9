from __future__ import annotations

import pytest

from kinspect.model.packet import Packet, TcpFlag
from tests.netfilter.tables import Answer, answer, packet, refused

SYN = packet(protocol=6, dport=80, tcp_flags=TcpFlag.SYN)
FLAGS = repr(TcpFlag.SYN | TcpFlag.RST | TcpFlag.ACK | TcpFlag.FIN)

ANSWERS = [
    ("-p udp -m udp --dport 53", packet(), True),
    ("-p udp -m udp --dport 50:60", packet(), True),
    ("-p udp -m udp --dport :52", packet(), False),
    ("-p udp -m udp --dport 1024:", packet(), False),
    ("-p udp -m udp ! --dport 53", packet(), False),
    ("-p udp -m udp --dport domain", packet(), True),
    ("-p udp -m udp --source-port 40000 --destination-port 53", packet(), True),
    ("-p udp --dport 53", packet(), True),  # -p implies -m
    ("-p udp -m udp --dport 53", packet(dport=None), "the destination port is in 53:53"),
    ("-p udp -m udp ! --sport 1:9", packet(sport=None), "not the source port is in 1:9"),
    ("-p udp -m udp --dport 53", packet(fragment=True), False),
    ("-p udp -m udp ! --dport 54", packet(fragment=True), False),
    ("-p tcp -m tcp ! --dport 80", packet(), False),  # of UDP nothing of it holds
    ("-p tcp -m tcp --dport 80 --syn", SYN, True),
    ("-p tcp -m tcp ! --syn", SYN, False),
    ("-p tcp -m tcp --tcp-flags SYN,RST,ACK,FIN SYN", SYN, True),
    ("-p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK", SYN, False),
    ("-p tcp -m tcp ! --tcp-flags SYN,ACK SYN,ACK", SYN, True),
    ("-p tcp -m tcp --tcp-flags ALL NONE", SYN, False),
    ("-p tcp -m tcp --tcp-flags ALL SYN", SYN, True),
    (
        "-p tcp -m tcp --syn",
        packet(protocol=6),
        f"of the TCP flags {FLAGS} exactly {SYN.tcp_flags!r} are set",
    ),
    ("-p tcp -m tcp --tcp-option 7", SYN, "the packet matches --tcp-option 7"),
    ("-p tcp -m tcp --dport 81 --tcp-option 7", SYN, False),
    ("-p sctp -m sctp --dport 32222", packet(protocol=132, dport=32222), True),
    (
        "-p sctp -m sctp --chunk-types any DATA,INIT",
        packet(protocol=132),
        "the packet matches --chunk-types any DATA,INIT",
    ),
    ("-p dccp -m dccp --dport 53", packet(protocol=33), True),
    ("-p dccp -m dccp ! --dccp-types RESET", packet(protocol=33), "the packet matches ! --dccp-types RESET"),
]
REFUSED = [
    ("-p udp -m udp --dport", "expected a value after --dport", "--dport"),
    ("-p udp -m udp --dport 65536", "expected a port or range after --dport", "65536"),
    ("-p udp -m udp --dport 80-90", "expected a port or range after --dport", "80-90"),
    ("-p tcp -m tcp --tcp-flags SYN", "expected a value after --tcp-flags", "--tcp-flags"),
    (
        "-p tcp -m tcp --tcp-flags SYN,FOO SYN",
        "expected lists of SYN,ACK,FIN,RST,URG,PSH,ALL,NONE after --tcp-flags",
        "SYN,FOO",
    ),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    assert answer(words, of) == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)
