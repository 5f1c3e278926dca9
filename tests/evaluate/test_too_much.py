"""Rules that fork more than can be followed are given up, openly; what is only long or deep is answered."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kinspect.errors import Undetermined
from kinspect.evaluate.path import evaluate
from kinspect.evaluate.walk import Branch, Record, Walk
from kinspect.model.host import Host
from kinspect.model.odds import EVERYTHING, ONE, ZERO
from kinspect.model.packet import Packet
from kinspect.model.rules import ChainName, TableName
from kinspect.model.trace import Place
from kinspect.parse.rules.dump import Dump, read_dump
from tests.clusters import packet

HALF = "-m statistic --mode random --probability 0.5"
HOST = Host(addresses=frozenset())


def mangle(*rules: str, chains: int = 0) -> Dump:
    declared = "".join(f":C{number} - [0:0]\n" for number in range(1, chains + 1))
    text = f"*mangle\n:PREROUTING ACCEPT [0:0]\n{declared}" + "\n".join(rules) + "\nCOMMIT\n"
    return read_dump(text.encode(), source="node/iptables-save.txt")


def nat(*rules: str) -> Dump:
    text = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n" + "\n".join(rules)
    return read_dump(f"{text}\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n".encode(), source="dump")


def incoming() -> Packet:
    return packet("203.0.113.1", "10.43.0.10", 80, iif="eth0")


def asked(number: int) -> str:
    """A match that no dump answers."""
    return f"-m string --string x{number} --algo bm"


def pod(number: int) -> str:
    return f"10.42.{number // 250}.{number % 250 + 1}"


def bit(number: int) -> str:
    return f"{1 << number % 32:#x}/{1 << number % 32:#x}"


def nested(levels: int, first: str) -> Dump:
    """Chains, each of which leads to the next one twice."""
    rules = []
    for level in range(levels):
        name = f"C{level}" if level else "PREROUTING"
        rules += [f"-A {name} {first} -j C{level + 1}", f"-A {name} -j C{level + 1}"]
    return mangle(*rules, chains=levels)


FORKING = {
    "marks by draws": mangle(*(f"-A PREROUTING {HALF} -j MARK --set-xmark {bit(n)}" for n in range(32))),
    "marks by questions": mangle(
        *(f"-A PREROUTING {asked(n)} -j MARK --set-xmark {bit(n)}" for n in range(32))
    ),
    "marks by counts": mangle(
        *(
            f"-A PREROUTING -m statistic --mode nth --every 2 --packet 0 -j MARK --set-xmark {bit(n)}"
            for n in range(32)
        )
    ),
    "two jumps, one by a draw": nested(60, HALF),
    "two jumps": nested(60, ""),
    "questions and draws at once": nat(
        *(f"-A PREROUTING {asked(n)} {HALF} -j DNAT --to-destination {pod(n)}" for n in range(50))
    ),
}


@pytest.mark.parametrize("rules", FORKING.values(), ids=FORKING)
def test_rules_that_fork_without_end_are_given_up(rules: Dump) -> None:
    with pytest.raises(
        Undetermined, match=r"fork more than can be followed, at chain [A-Z0-9]+: not determined"
    ):
        evaluate(incoming(), HOST, [rules])


def test_it_is_given_up_after_a_bounded_amount_of_work() -> None:
    record = Record()
    rules = FORKING["two jumps"]
    chain = rules.chain(TableName("mangle"), ChainName("PREROUTING"))
    assert chain is not None
    walk = Walk(Place("PREROUTING", TableName("mangle"), "dump"), rules, HOST, record)
    with pytest.raises(Undetermined):
        walk.hook(chain, [Branch(incoming(), EVERYTHING)])
    assert record.work < 2_000_100
    assert sum(len(weight.terms) for weight in record.hits.values()) < 200


def test_questions_in_a_row_are_answered_with_bounds() -> None:
    rules = nat(*(f"-A PREROUTING {asked(n)} -j DNAT --to-destination {pod(n)}" for n in range(200)))
    ways = evaluate(incoming(), HOST, [rules]).ways
    assert len(ways) == 201
    assert {way.weight.bounds() for way in ways} == {(ZERO, ONE)}


def test_long_chains_of_draws_add_up_and_their_shares_stay_small() -> None:
    """A share behind n draws has 31 n bits; beyond 2048 it is rounded, and nothing is lost."""
    count = 300
    rules = nat(
        *(
            f"-A PREROUTING -m statistic --mode random --probability {1 / (count - n):.10f} -j DNAT"
            f" --to-destination {pod(n)}"
            for n in range(count - 1)
        ),
        f"-A PREROUTING -j DNAT --to-destination {pod(count)}",
    )
    shares = [way.weight.exact for way in evaluate(incoming(), HOST, [rules]).ways]
    assert len(shares) == count
    assert all(share is not None and share.denominator.bit_length() < 2100 for share in shares)
    assert sum((share for share in shares if share is not None), ZERO) == ONE
    assert all(abs(share - Fraction(1, count)) < Fraction(1, 10**7) for share in shares if share is not None)


def deep(levels: int) -> Dump:
    rules = [f"-A C{level} -j C{level + 1}" for level in range(1, levels)]
    return mangle("-A PREROUTING -j C1", *rules, f"-A C{levels} -j DROP", chains=levels)


def test_chains_may_be_deep() -> None:
    (way,) = evaluate(incoming(), HOST, [deep(100)]).ways
    assert way.verdict.value == "DROP"


def test_deep_is_not_said_to_lead_into_itself() -> None:
    with pytest.raises(Undetermined, match="its chains are more than 128 deep at C129: not determined"):
        evaluate(incoming(), HOST, [deep(300)])
