"""A new match is one module and one row: nothing else needs to know of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import pytest

from kinspect.evaluate.path import evaluate
from kinspect.evaluate.shortcuts.equivalence import told_apart
from kinspect.model.host import Host
from kinspect.model.odds import Odds, undecided, unless
from kinspect.model.packet import Packet
from kinspect.model.rules import NO_DISTINCTIONS, ChainName, Distinctions, TableName
from kinspect.netfilter import registry, support
from kinspect.netfilter.options import Options
from kinspect.parse.rules.dump import Dump
from kinspect.snapshot.redact.addresses import Permutation
from kinspect.snapshot.redact.aliases import Aliases
from kinspect.snapshot.redact.texts import Texts
from tests.evaluate.host import HOST, dump, incoming


@dataclass(frozen=True, slots=True)
class Moon:
    """The moon has a phase."""

    phase: str
    inverted: bool = False

    def distinguishes(self) -> Distinctions:
        return NO_DISTINCTIONS

    def odds(self, packet: Packet, host: Host) -> Odds:
        return unless(self.inverted, undecided("clock", f"the moon is {self.phase}"))

    def seen(self, packet: Packet) -> str:
        return "the sky is not in a dump"


def read(options: Options) -> Moon:
    option = options.need("--phase")
    return Moon(option.value, option.inverted)


@pytest.fixture(autouse=True)
def _moon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("kinspect.netfilter.matches.moon")
    vars(module).update(
        OPTIONS={"--phase": 1, "--observer": 1},
        VALUES={"--phase": "plain"},
        ALWAYS_OPEN="the sky decides",
        read=read,
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(registry, "MATCHES", {**registry.MATCHES, "moon": "moon"})
    _forget()
    yield
    _forget()


def _forget() -> None:
    registry._load.cache_clear()
    registry.option_values.cache_clear()


RULE = "-A FORWARD -p tcp -m moon --phase full --observer alice -j DROP"


def forward() -> Dump:
    return dump(f"*filter\n:FORWARD ACCEPT [0:0]\n{RULE}")


def test_it_is_read_and_asked() -> None:
    evaluation = evaluate(incoming("10.1.0.9"), HOST, [forward()])
    assert {question.text for way in evaluation for question in way.weight.questions()} == {
        "the moon is full"
    }


def test_packets_that_it_does_not_tell_apart_are_walked_once() -> None:
    chain = forward().chain(TableName("filter"), ChainName("FORWARD"))
    assert chain is not None
    assert told_apart(chain.rules()) == NO_DISTINCTIONS


def test_how_far_it_is_understood_is_its_own_word() -> None:
    assert support.match("moon") is support.Support.UNDECIDED


def test_redaction_keeps_what_it_says_tells_nothing_and_replaces_the_rest() -> None:
    key = b"a key that only this test knows!"
    made = Texts(Permutation(key), Aliases(key), registry.option_values).rules(f"*filter\n{RULE}\n")
    assert "--phase full --observer " in made
    assert "alice" not in made
