"""One rule's text to a Rule: which extension each word belongs to, and what it means.

An option belongs to the last named extension that has it, as in iptables. An option that no extension
knows is kept unchanged and is undecided for a packet; a value that an extension cannot read
is an error that points at the word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from kinspect.errors import RulesError
from kinspect.model.packet import Family, protocol_name
from kinspect.model.rules import ChainName, Clause, Counters, Match, Rule, Target
from kinspect.netfilter import registry
from kinspect.netfilter.matches import ip
from kinspect.netfilter.matches.unsupported import UnsupportedMatch
from kinspect.netfilter.options import Option, OptionError, Options
from kinspect.netfilter.registry import Extension
from kinspect.netfilter.targets.nothing import Nothing
from kinspect.netfilter.targets.unsupported import UnsupportedTarget
from kinspect.netfilter.targets.verdict import Jump
from kinspect.parse.rules.words import LONGEST, BadQuote, Word, split

_COUNTED = re.compile(r"\[\d+:\d+\]")


@dataclass(slots=True)
class _Part:
    """An extension as it is met in a rule, with its options so far."""

    name: str
    extension: Extension | None
    start: int  # index of its first word
    end: int  # index after its last word
    options: list[Option] = field(default_factory=list)
    unknown: bool = False  # an unknown option came with it
    match: Match | None = None  # of the options that every rule may have


@dataclass(slots=True)
class _Reader:
    words: list[Word]
    family: Family
    parts: list[_Part] = field(default_factory=list)
    target: _Part | None = None
    number: int = 0
    chain: str = ""
    source: str = ""
    line: int = 0
    goto: bool = False
    given: set[str] = field(default_factory=set)  # options that iptables accepts once in a rule

    @property
    def name(self) -> str:
        """The rule's name in a question about it alone."""
        return f"{self.chain} rule {self.number} ({self.source}:{self.line})"

    def read(self) -> None:
        at = 0
        negated: int | None = None
        while at < len(self.words):
            word = self.words[at].text
            if word == "!" and _bare(self.words[at]):
                negated = at
                at += 1
                continue
            first = at if negated is None else negated
            at = self._option(word, at, first, negated is not None)
            negated = None
        if negated is not None:
            raise OptionError("expected an option after !", negated)

    def _value(self, at: int, name: str) -> str:
        if at >= len(self.words):
            raise OptionError(f"expected a value after {name}", at - 1)
        return self.words[at].text

    def _once(self, name: str, at: int) -> None:
        """Refuse an option that the rule has already: iptables does, so no dump of its has that."""
        if name in self.given:
            raise OptionError(f"{name} is given twice: this rule is damaged", at)
        self.given.add(name)

    def _option(self, word: str, at: int, first: int, inverted: bool) -> int:
        """Take the option at ``at``; the index of the next word."""
        if word in ("-A", "-I", "--append", "--insert"):
            self._once("-A", at)
            self.chain = self._value(at + 1, word)
            at += 2
            # ``-I CHAIN 3``: a rule number
            return (
                at + 1 if word[-1] in "It" and at < len(self.words) and self.words[at].text.isdigit() else at
            )
        if word in ip.SPELLINGS:
            return self._header(ip.SPELLINGS[word], at, first, inverted)
        if word in ("-m", "--match"):
            name = self._value(at + 1, word)
            self.parts.append(_Part(name, registry.match(name), first, at + 2))
            return at + 2
        if word in ("-j", "-g", "--jump", "--goto"):
            self._once("-j", at)
            name = self._value(at + 1, word)
            self.goto = word in ("-g", "--goto")
            extension = None if self.goto else registry.target(name)
            self.target = _Part(name, extension, first, at + 2)
            return at + 2
        if word == "-c" and at + 2 < len(self.words):  # counters in the rule: -c packets bytes
            self._once("-c", at)
            return at + 3
        return self._extension_option(word, at, first, inverted)

    def _header(self, name: str, at: int, first: int, inverted: bool) -> int:
        self._once(name, at)
        part = _Part(name, None, first, at + 1)
        self.parts.append(part)
        if name == "-f":
            part.match = ip.read(Option(name, (), inverted, at))
            return at + 1
        value = self._value(at + 1, name)
        if value == "!":  # before 1.4.3: -s ! 10.0.0.0/8
            at, inverted = at + 1, True
            value = self._value(at + 1, name)
        part.end = at + 2
        part.match = ip.read(Option(name, (value,), inverted, at))
        return at + 2

    def _extension_option(self, word: str, at: int, first: int, inverted: bool) -> int:
        owner, canonical = self._owner(word)
        if owner is None or owner.extension is None:
            return self._unknown_option(word, at, first)
        repeated = any(option.name == canonical for option in owner.options)
        if repeated and canonical not in owner.extension.repeatable:
            raise OptionError(f"{word} is given twice: this rule is damaged", at)
        arity = owner.extension.options[canonical]
        values: list[str] = []
        end = at + 1
        while len(values) < arity and end < len(self.words):
            value = self.words[end].text
            if (
                value == "!" and _bare(self.words[end]) and not values and not inverted
            ):  # --dport ! 80, as once written
                inverted = True
            elif value.startswith("--") and self._owner(value)[0] is not None:
                break  # a value is missing
            else:
                values.append(value)
            end += 1
        if len(values) < arity:
            raise OptionError(f"expected a value after {word}", at)
        owner.options.append(Option(canonical, tuple(values), inverted, at))
        if owner.end == first:
            owner.end = end
        return end

    def _owner(self, word: str) -> tuple[_Part | None, str]:
        """The part that has the option, the latest first; a protocol's match may be implied."""
        candidates = [part for part in reversed(self.parts) if part.extension]
        if self.target is not None and self.target.extension is not None:
            candidates.insert(0, self.target)
        for part in candidates:
            canonical = part.extension.canonical(word) if part.extension else None
            if canonical is not None:
                return part, canonical
        if self.target is None or self.target.extension is None:
            for part in self.parts:
                if isinstance(part.match, ip.Protocol):
                    name = protocol_name(part.match.number)
                    extension = _implied(name, part.match.number)
                    canonical = extension.canonical(word) if extension else None
                    if canonical is not None and not any(p.name == name and p.extension for p in self.parts):
                        implied = _Part(name, extension, part.end, part.end)
                        self.parts.append(implied)
                        return implied, canonical
        return None, word

    def _unknown_option(self, word: str, at: int, first: int) -> int:
        """Keep an unknown option, with the words up to the next option."""
        end = at + 1
        while (
            end < len(self.words) and not self.words[end].text.startswith("-") and self.words[end].text != "!"
        ):
            end += 1
        owner = self.target or (self.parts[-1] if self.parts and self.parts[-1].match is None else None)
        if owner is None:
            owner = _Part(word, None, first, end)
            self.parts.append(owner)
        owner.unknown = True
        owner.end = max(owner.end, end)
        return end


def parse_rule(
    text: str, *, source: str, line: int, number: int, counters: Counters | None = None, family: Family = 4
) -> Rule:
    """A line ``-A CHAIN …`` as a Rule. Raises RulesError that points at the word."""
    if len(text) > LONGEST:
        message = f"a rule of {len(text)} characters is longer than iptables accepts"
        raise RulesError(message, source=source, line=line)
    try:
        words = split(text)
    except BadQuote as error:
        raise RulesError(str(error), source=source, line=line, text=text, column=error.column) from None
    words = _without_remarks(words, text)
    reader = _Reader(words, family, number=number, source=source, line=line)
    try:
        reader.read()
        _check_protocols(reader)
        clauses = tuple(_clause(part, reader, text) for part in reader.parts)
        target, target_text = _target(reader, text)
    except OptionError as error:
        word = words[min(error.word, len(words) - 1)] if words else Word("", 0, 1)
        raise RulesError(
            error.message,
            source=source,
            line=line,
            text=text,
            column=word.start,
            width=max(1, word.end - word.start),
        ) from None
    return Rule(
        chain=ChainName(reader.chain),
        number=number,
        line=line,
        text=text,
        clauses=clauses,
        target=target,
        target_text=target_text,
        counters=counters,
        # isinstance() on the protocol itself takes ten times as long.
        remembers=any(hasattr(clause.match, "asked") for clause in clauses),
    )


def _implied(name: str, number: int) -> Extension | None:
    """The match that ``-p`` implies: that of the one protocol that needs it."""
    extension = registry.match(name)
    return extension if extension is not None and extension.protocols == {number} else None


def _check_protocols(reader: _Reader) -> None:
    """Refuse a match that iptables accepts only with certain protocols, if the rule has none of them.

    Source: multiport's ``final_check``; the kernel's xt_check_match for the others.
    """
    asked = {
        part.match.number
        for part in reader.parts
        if isinstance(part.match, ip.Protocol) and not part.match.inverted
    }
    for part in reader.parts:
        needed = part.extension.protocols if part.extension is not None else frozenset()
        if needed and not asked & needed:
            names = " or ".join(f"-p {protocol_name(number)}" for number in sorted(needed))
            raise OptionError(f"expected {names} with -m {part.name}", part.start)


def _bare(word: Word) -> bool:
    """Whether a word of one character is without quotes: a comment may be just "!"."""
    return word.end - word.start == 1


def _without_remarks(words: list[Word], text: str) -> list[Word]:
    """The words without what people and old tools add to a rule: ``# why``, ``[12:720]``.

    iptables-save puts every value with such characters in quotes (xtables_save_string).
    """
    for number, word in enumerate(words):
        if text[word.start] == "#":
            words = words[:number]
            break
    if words and _COUNTED.fullmatch(text, words[-1].start, words[-1].end):
        words = words[:-1]
    return words


def _text(part: _Part, reader: _Reader, text: str) -> str:
    end = max(part.end, part.start)
    if end == part.start:  # implied by -p
        return " ".join(
            f"{'! ' if o.inverted else ''}{o.name} {' '.join(o.values)}".strip() for o in part.options
        )
    return text[reader.words[part.start].start : reader.words[end - 1].end]


def _clause(part: _Part, reader: _Reader, text: str) -> Clause:
    shown = _text(part, reader, text)
    if part.match is not None:
        return Clause(part.match, shown)
    if part.extension is None or part.unknown:
        return Clause(UnsupportedMatch(shown), shown)
    return Clause(
        part.extension.read(
            Options(part.options, part.start, reader.family, in_rule=reader.name, extension=part.name)
        ),
        shown,
    )


def _target(reader: _Reader, text: str) -> tuple[Target, str]:
    part = reader.target
    if part is None:
        return Nothing(), ""
    shown = _text(part, reader, text)
    if part.extension is not None and not part.unknown:
        target: Target = part.extension.read(
            Options(part.options, part.start, reader.family, in_rule=reader.name, extension=part.name)
        )
        return target, shown
    if part.unknown:
        return UnsupportedTarget(shown), shown
    return Jump(ChainName(part.name), reader.goto), shown
