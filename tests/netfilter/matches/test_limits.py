from __future__ import annotations

import pytest

from kinspect.model.packet import Packet
from kinspect.netfilter.matches.limits import read_limit
from kinspect.netfilter.options import Option, Options
from tests.netfilter.tables import Answer, answer, packet, refused

OF_RULE = " of FORWARD rule 1 (node/iptables-save.txt:7)"
ANSWERS = [
    (
        "-m limit --limit 10/min --limit-burst 10",
        packet(),
        "the packet is within the limit: 10/min, burst 10",
    ),
    ("-m limit", packet(), "the packet is within the limit: 3/hour"),
    (
        "-m hashlimit --hashlimit-upto 5/sec --hashlimit-burst 5 --hashlimit-mode srcip --hashlimit-name icmp",
        packet(),
        "the packet is within the limit: 5/sec, burst 5, by srcip (icmp)",
    ),
    (
        "-m hashlimit --hashlimit-above 512kb/s --hashlimit-srcmask 8 --hashlimit-htable-expire 31991 --hashlimit-name f",
        packet(),
        "not the packet is within the limit: 512kb/s (f)",
    ),
    (
        "-m connlimit --connlimit-above 10 --connlimit-mask 32 --connlimit-saddr",
        packet(),
        "not the source (of /32 networks) is within the limit: 10 connections",
    ),
    (
        "-m connlimit --connlimit-upto 2 --connlimit-daddr",
        packet(),
        "the destination is within the limit: 2 connections",
    ),
    ("-m quota --quota 1000", packet(), "the quota is not used up: 1000 bytes"),
    ("-m quota ! --quota 1000", packet(), "not the quota is not used up: 1000 bytes"),
    (
        "-m connbytes --connbytes 10000: --connbytes-dir both --connbytes-mode bytes",
        packet(),
        "the connection has carried 10000: bytes (both)",
    ),
    (
        "-m connbytes ! --connbytes 1:5 --connbytes-dir reply --connbytes-mode packets",
        packet(),
        "not the connection has carried 1:5 packets (reply)",
    ),
]
REFUSED = [
    ("-m limit --limit", "expected a value after --limit", "--limit"),
    ("-m limit --limit fast", "expected a rate, such as 10/second, after --limit", "fast"),
    ("-m limit --limit 5/year", "expected a rate, such as 10/second, after --limit", "5/year"),
    ("-m limit --limit-burst x", "expected a number of packets after --limit-burst", "x"),
    ("-m hashlimit --hashlimit-name x", "expected --hashlimit-upto or --hashlimit-above", "-m"),
    ("-m connlimit --connlimit-above x", "expected a number of connections after --connlimit-above", "x"),
    ("-m quota --quota x", "expected a number of bytes after --quota", "x"),
    ("-m connbytes --connbytes 1", "expected --connbytes-dir", "-m"),
    (
        "-m connbytes --connbytes x --connbytes-dir both --connbytes-mode bytes",
        "expected an amount or a range, as FROM:TO, after --connbytes",
        "x",
    ),
    (
        "-m connbytes --connbytes 1 --connbytes-dir up --connbytes-mode bytes",
        "expected original, reply or both after --connbytes-dir",
        "up",
    ),
    (
        "-m connbytes --connbytes 1 --connbytes-dir both --connbytes-mode x",
        "expected packets, bytes or avgpkt after --connbytes-mode",
        "x",
    ),
]


@pytest.mark.parametrize(("words", "of", "expected"), ANSWERS)
def test_what_it_answers(words: str, of: Packet, expected: Answer) -> None:
    found = answer(words, of)
    if isinstance(found, str):  # the question says whose limit it is
        assert OF_RULE in found or "connbytes" in words
        found = found.replace(OF_RULE, "")
    assert found == expected


@pytest.mark.parametrize(("words", "message", "word"), REFUSED)
def test_what_it_refuses_and_where(words: str, message: str, word: str) -> None:
    assert refused(words) == (message, word)


def test_each_rule_has_a_limit_of_its_own() -> None:
    options = Options([Option("--limit", ("5/min",))], in_rule="INPUT rule 3")
    question = read_limit(options).question
    assert (question.kind, question.text) == (
        "rate-limit",
        "the packet is within the limit of INPUT rule 3: 5/min",
    )
