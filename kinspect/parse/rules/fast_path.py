"""Reads rules in kube-proxy's words from clauses that were read before.

A dump of a large cluster has some ten clauses a hundred thousand times. A rule that is made of
such clauses only, as iptables-save prints them, is put together from them; ``parse.rules.rule`` reads
each clause once, and every other rule whole.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from kinspect.model.packet import Family
from kinspect.model.rules import ChainName, Clause, Counters, Rule, Target
from kinspect.netfilter import registry
from kinspect.netfilter.matches import ip
from kinspect.netfilter.matches.ip import Anything
from kinspect.netfilter.options import Option, OptionError, Options
from kinspect.netfilter.registry import Extension
from kinspect.netfilter.targets.nothing import Nothing
from kinspect.netfilter.targets.verdict import Jump
from kinspect.parse.rules.rule import parse_rule

# Only clauses that mean the same in every rule are kept: an extension that depends on its rule
# (``Options.rule``), that needs a protocol which the rule lacks, or that affects later rules is left to
# ``parse_rule``. An option's values hold no quotes, and cannot look like an
# option.
_VALUE: Final = r"(?![-!#]|\[\d+:\d+\])[^ \"\\']+"
_VALUES: Final = rf"(?: {_VALUE})*"
_CLAUSE: Final = re.compile(
    rf" (?:(-m comment --comment (?:\"(?:[^\"\\]|\\.)*\"|{_VALUE}))"
    rf"|(?:! )?-([sdpio]) {_VALUE}"
    rf"|-m (?!comment )(\w+)(?: (?:! )?--[a-z0-9-]+{_VALUES})*)(?= |$)"
)
_TARGET: Final = re.compile(rf" -j ({_VALUE})((?: --[a-z-]+{_VALUES})*)$")
_HEAD: Final = re.compile(r"-A ([^ \"\\']+)")

_COMMENT: Final = Anything()
_KEPT: Final = 1 << 17  # clauses; an endpoint's address is one of its own


def read_rule(
    text: str, *, source: str, line: int, number: int, counters: Counters | None, family: Family
) -> Rule:
    """As ``parse_rule``. Raises RulesError."""
    made = _made(text, line, number, counters, family)
    if made is None:
        return parse_rule(text, source=source, line=line, number=number, counters=counters, family=family)
    return made


def _made(text: str, line: int, number: int, counters: Counters | None, family: Family) -> Rule | None:
    """The rule from known clauses; None if it has others."""
    head = _HEAD.match(text)
    if head is None:
        return None
    clauses: list[Clause] = []
    headers = ""  # the letters of -s, -d, -p, -i and -o that were met
    protocol: int | None = None
    at = head.end()
    while piece := _CLAUSE.match(text, at):
        words = piece[0][1:]
        letter = piece[2]
        if letter:
            if letter in headers:
                return None  # given twice: parse_rule points at it
            headers += letter
        clause = Clause(_COMMENT, words) if piece[1] else _clause(words, family)
        if clause is None:
            return None
        if letter == "p" and isinstance(clause.match, ip.Protocol) and not clause.match.inverted:
            protocol = clause.match.number
        elif piece[3] and not _after(piece[3], protocol):
            return None  # the rule lacks its protocol, or has it elsewhere
        clauses.append(clause)
        at = piece.end()
    target: Target | None = Nothing()
    target_text = ""
    if at < len(text):
        end = _TARGET.match(text, at)
        if end is None:
            return None
        target_text = end[0][1:]
        name = end[1]
        plain = not end[2] and name not in registry.TARGETS
        target = Jump(ChainName(name)) if plain else _target(target_text, family)
        if target is None:
            return None
    return Rule(ChainName(head[1]), number, line, text, tuple(clauses), target, target_text, counters)


@lru_cache(_KEPT)
def _clause(words: str, family: Family) -> Clause | None:
    parts = words.split(" ")
    inverted = parts[0] == "!"
    try:
        if parts[0] != "-m":
            name, value = parts[inverted:]
            return Clause(ip.read(Option(name, (value,), inverted)), words)
        extension = registry.match(parts[1])
        options = _options(extension, parts[2:], family)
        match = extension.read(options) if extension and options else None
        return None if match is None or hasattr(match, "asked") else Clause(match, words)
    except OptionError:
        return None


@lru_cache
def _after(name: str, protocol: int | None) -> bool:
    """Whether a match may follow ``-p`` and the protocol."""
    extension = registry.match(name)
    return extension is not None and (not extension.protocols or protocol in extension.protocols)


@lru_cache(_KEPT)
def _target(words: str, family: Family) -> Target | None:
    parts = words.split(" ")
    extension = registry.target(parts[1])
    options = _options(extension, parts[2:], family)
    try:
        return extension.read(options) if extension and options else None
    except OptionError:
        return None


def _options(extension: Extension | None, parts: list[str], family: Family) -> Options | None:
    """The options of an extension, if all are its own and spelled out; otherwise None."""
    if extension is None:
        return None
    written: list[Option] = []
    at = 0
    while at < len(parts):
        inverted = parts[at] == "!"
        at += inverted
        arity = extension.options.get(parts[at])
        if arity is None or at + arity >= len(parts):
            return None
        if any(option.name == parts[at] for option in written):
            return None  # given twice
        values = tuple(parts[at + 1 : at + 1 + arity])
        if any(value.startswith("--") for value in values):
            return None
        written.append(Option(parts[at], values, inverted))
        at += 1 + arity
    return Options(written, family=family, in_rule=None, extension=extension.name)
