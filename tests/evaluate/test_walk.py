"""One hook's walk: order, jump, goto, RETURN, policies, draws, and what is not known."""

from __future__ import annotations

from fractions import Fraction

import pytest

from kinspect.errors import RulesError
from kinspect.evaluate.path import evaluate
from kinspect.evaluate.walk import Branch, Left, Walk
from kinspect.model.rules import Chain, Verdict
from tests.evaluate.host import HOST, dump, ends, incoming

HALF = Fraction(1, 2)
HERE = "192.0.2.1:80"


def filtered(rules: str, policy: str = "ACCEPT") -> dict[str, object]:
    """Where a packet to this host ends, by rules of filter INPUT (user chains A, B and C)."""
    text = f"*filter\n:INPUT {policy} [0:0]\n:A - [0:0]\n:B - [0:0]\n:C - [0:0]\n{rules}"
    return dict(ends(text, incoming()))


@pytest.mark.parametrize(
    ("rules", "policy", "end"),
    [
        pytest.param("", "ACCEPT", HERE, id="the policy decides at the end"),
        pytest.param("", "DROP", "DROP", id="a policy of DROP drops"),
        pytest.param("-A INPUT -j DROP\n-A INPUT -j ACCEPT", "ACCEPT", "DROP", id="the first rule that matches wins"),
        pytest.param("-A INPUT -p udp -j DROP", "ACCEPT", HERE, id="a rule that does not match changes nothing"),
        pytest.param("-A INPUT -j A\n-A INPUT -j DROP\n-A A -j ACCEPT", "ACCEPT", HERE, id="ACCEPT in a user chain ends the hook"),
        pytest.param("-A INPUT -j A\n-A INPUT -j DROP\n-A A -p udp -j ACCEPT", "ACCEPT", "DROP", id="a user chain's end goes back"),
        pytest.param("-A INPUT -j A\n-A INPUT -j DROP\n-A A -j RETURN\n-A A -j ACCEPT", "ACCEPT", "DROP", id="RETURN goes back"),
        pytest.param("-A INPUT -j RETURN\n-A INPUT -j ACCEPT", "DROP", "DROP", id="RETURN in a built-in chain applies its policy"),
        pytest.param("-A INPUT -g A\n-A INPUT -j ACCEPT\n-A A -p udp -j ACCEPT", "DROP", "DROP", id="goto from a built-in chain ends at its policy"),
        pytest.param("-A INPUT -j A\n-A INPUT -j ACCEPT\n-A A -g B\n-A A -j DROP\n-A B -p udp -j DROP", "DROP", HERE, id="goto comes back to the caller, not to its own chain"),
        pytest.param("-A INPUT -j A\n-A INPUT -j ACCEPT\n-A A -j B\n-A A -j DROP\n-A B -g C\n-A C -j RETURN", "ACCEPT", "DROP", id="RETURN behind a goto goes to the caller of the chain that had it"),
        pytest.param("-A INPUT -m comment --comment x\n-A INPUT -j DROP", "ACCEPT", "DROP", id="a rule without a target goes on"),
        pytest.param("-A INPUT -j MARK --set-xmark 0x1/0x1\n-A INPUT -m mark --mark 0x1/0x1 -j DROP", "ACCEPT", "DROP", id="a mark is seen by later rules"),
        pytest.param("-A INPUT -j MARK --set-xmark 0x5/0xf\n-A INPUT -j MARK --set-xmark 0x1/0x0\n-A INPUT -m mark --mark 0x4 -j DROP", "ACCEPT", "DROP", id="set-xmark keeps or turns bits by its mask"),
        pytest.param("-A INPUT -j REJECT --reject-with tcp-reset", "ACCEPT", "REJECT", id="REJECT ends"),
    ],
)  # fmt: skip
def test_where_a_packet_ends(rules: str, policy: str, end: str) -> None:
    assert filtered(rules, policy) == {end: 1}


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        pytest.param(
            "-A INPUT -m statistic --mode random --probability 0.5 -j DROP",
            {"DROP": HALF, HERE: HALF},
            id="a draw",
        ),
        pytest.param(
            "-A INPUT -m statistic --mode random ! --probability 0.25 -j DROP",
            {"DROP": Fraction(3, 4), HERE: Fraction(1, 4)},
            id="a draw inverted",
        ),
        pytest.param(
            "-A INPUT -m statistic --mode random --probability 0.33333333349 -j A\n"
            "-A INPUT -m statistic --mode random --probability 0.5 -j DROP\n-A A -j REJECT",
            {
                "REJECT": Fraction(715827883, 2**31),
                "DROP": Fraction(1431655765, 2**32),
                HERE: Fraction(1431655765, 2**32),
            },
            id="three ways as the kernel draws them: none is exactly a third",
        ),
        pytest.param(
            "-A INPUT -m statistic --mode nth --every 3 --packet 0 -j DROP",
            {"DROP": Fraction(1, 3), HERE: Fraction(2, 3)},
            id="one in three",
        ),
        pytest.param(
            "-A INPUT -p udp -m statistic --mode random --probability 0.5 -j DROP",
            {HERE: Fraction(1)},
            id="a draw beside a certain no is no draw",
        ),
    ],
)
def test_draws_are_exact(rules: str, found: dict[str, Fraction]) -> None:
    assert filtered(rules) == found


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        pytest.param("-A INPUT -m frob --nicate 3 -j DROP", {"DROP": (0, 1), HERE: (0, 1)}, id="an unknown match is never guessed"),
        pytest.param("-A INPUT -p udp -m frob --nicate 3 -j DROP", {HERE: 1}, id="a certain no settles it"),
        pytest.param("-A INPUT -m frob --nicate 3 -j MARK --set-xmark 0x0/0x0", {HERE: 1}, id="a question that changes nothing is gone"),
        pytest.param("-A INPUT -m frob --nicate 3 -j A\n-A A -j RETURN", {HERE: 1}, id="so is one that leads in and out of a chain"),
        pytest.param(
            "-A INPUT -m frob --nicate 3 -j A\n-A INPUT -m frob --nicate 3 -j DROP\n-A A -j ACCEPT",
            {HERE: 1},
            id="the same question has the same answer further down",
        ),
        pytest.param(
            "-A INPUT -m statistic --mode random --probability 0.5 -j A\n-A A -m frob --x -j DROP",
            {"DROP": (0, HALF), HERE: (HALF, 1)},
            id="a question behind a draw bounds that share only",
        ),
        pytest.param("-A INPUT -j FROB --nicate 3", {"DROP": (0, 1), HERE: (0, 1)}, id="an unknown target may end the packet or not"),
    ],
)  # fmt: skip
def test_what_is_not_known_widens_to_bounds(rules: str, found: dict[str, object]) -> None:
    assert filtered(rules) == found


def test_many_open_questions_do_not_explode() -> None:
    rules = "\n".join(f"-A INPUT -m frob --number {n} -j A" for n in range(200))
    assert filtered(f"{rules}\n-A A -j RETURN") == {HERE: 1}
    rules = "\n".join(f"-A INPUT -m frob --number {n} -j ACCEPT" for n in range(60))
    assert filtered(rules, "DROP") == {HERE: (0, 1), "DROP": (0, 1)}


def test_a_chain_that_leads_into_itself_is_an_error() -> None:
    with pytest.raises(RulesError, match="chain A leads into itself"):
        filtered("-A INPUT -j A\n-A A -j B\n-A B -j A")


def test_a_jump_to_a_chain_that_is_not_there_names_the_line() -> None:
    with pytest.raises(RulesError) as caught:
        filtered("-A INPUT -j NOWHERE")
    assert str(caught.value).startswith("test:6: NOWHERE is neither a chain of table filter nor a target")
    assert caught.value.excerpt() == "    -A INPUT -j NOWHERE\n                ^~~~~~~"


def test_every_rule_that_took_the_packet_is_counted_with_its_share() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT\n-A INPUT -m statistic --mode random --probability 0.5\n-A INPUT -p udp"
    evaluation = evaluate(incoming(), HOST, [dump(text)])
    assert {line: weight.exact for (_, _, line), weight in evaluation.hits.items()} == {3: 1, 4: HALF}


def test_in_a_large_chain_only_rules_of_the_destination_are_parsed() -> None:
    rules = [
        f"-A A -d 10.9.{n // 250}.{n % 250 + 1}/32 -p tcp -m tcp --dport 80 -j DROP" for n in range(1000)
    ]
    text = "*filter\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n-A INPUT -j A\n" + "\n".join([*rules, "-A A -j REJECT"])
    made = dump(text)
    found = evaluate(incoming(), HOST, [made])
    assert [way.verdict.value for way in found] == ["REJECT"]
    chain = made.chain("filter", "A")  # type: ignore[arg-type]
    assert chain is not None
    assert len(chain._parsed) == 1


def test_an_enterer_takes_branches_through_the_chains_that_rules_lead_to() -> None:
    text = "*filter\n:INPUT ACCEPT [0:0]\n:A - [0:0]\n:B - [0:0]\n-A INPUT -j A\n-A A -j B\n-A B -j DROP"
    entered: list[tuple[str, int]] = []

    def enter(walk: Walk, chain: Chain, branch: Branch, depth: int) -> Left:
        entered.append((chain.name, depth))
        return ([], [branch]) if chain.name == "B" else walk.chain(chain, [branch], depth)

    (way,) = evaluate(incoming(), HOST, [dump(text)], enter=enter)
    assert (way.verdict, entered) == (Verdict.ACCEPT, [("A", 1), ("B", 2)])
