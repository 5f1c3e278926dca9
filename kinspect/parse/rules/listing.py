"""``iptables -L [-n] [-v] [--line-numbers]``: what people paste, as rules again.

A listing is made for eyes: without ``-v`` it leaves the interfaces out, without ``-n`` it may put
names for numbers. Each line becomes a rule in iptables-save's words; what is left of a line that
no form of an extension (``netfilter.printed``) fits stays as a match that is not decided. Source:
print_rule of iptables' own iptables.c.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from kinspect.model.packet import Family
from kinspect.netfilter.printed import forms

HEADER: Final = re.compile(
    r"Chain (\S+) \((?:policy (\w+)(?: \S+ packets, \S+ bytes)?|-?\d+ references)\)(?: \(ERROR .*\))?\s*$"
)
_COLUMNS: Final = re.compile(
    r"\s*(num\s+)?(pkts\s+bytes\s+)?target\s+prot\s+opt\s+(in\s+out\s+)?source\s+destination\s*$"
)
# A rule without the line of column names: with the columns of -v, and without.
_KNOWN: Final = r"!?(?:all|tcp|udp|udplite|icmp|icmpv6|ipv6-icmp|sctp|dccp|esp|ah|gre|\d{1,3})"
_HOST: Final = r"!?(?:anywhere|[\da-fA-F.:]*[.:][\da-fA-F.:]*(?:/[\d.]+)?)"
_TO: Final = rf"(?:[A-Za-z][\w.-]*\s+)?{_KNOWN}\s+(?:(?:--|-f|!f)\s+)?"
_VERBOSE: Final = re.compile(
    rf"\s*(\d+\s+)?\d+[KMGT]?\s+\d+[KMGT]?\s+{_TO}\S+\s+\S+\s+{_HOST}\s+{_HOST}(?:\s|$)"
)
_PLAIN: Final = re.compile(rf"\s*(\d+\s+)?{_TO}{_HOST}\s+{_HOST}(?:\s|$)")
_COUNT: Final = re.compile(r"\d+[KMGT]?$")
_LONGEST: Final = 4096  # characters behind the destination
_GOTO: Final = "[goto]"
_UNITS: Final = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Made:
    """What one line of a listing says: chains with their policies, and rules."""

    declared: list[tuple[str, str]] = field(default_factory=list)
    rules: list[tuple[str, str]] = field(default_factory=list)  # with the chain of each


@dataclass(slots=True)
class Listing:
    """Reads a listing line by line; ``notes`` is what its form cannot tell."""

    source: str
    family: Family
    notes: dict[str, None] = field(default_factory=dict)
    chain: str | None = None
    numbered: bool = False
    counted: bool = False
    verbose: bool = False
    headed: bool = False  # a line with the columns' names was seen

    def line(self, raw: str, number: int) -> Made:
        """What a line says; a line that is no rule says nothing."""
        header = HEADER.match(raw.strip())
        if header is not None:
            self.chain = header[1]
            return Made(declared=[(header[1], header[2] or "-")])
        columns = _COLUMNS.match(raw)
        if columns is not None:
            self.headed = True
            self.numbered, self.counted = columns[1] is not None, columns[2] is not None
            self.verbose = columns[3] is not None
            if not self.verbose:
                self.notes["a listing without -v does not show interfaces (-i, -o): taken as any"] = None
            return Made()
        if self.chain is None:
            return Made()
        if not self.headed:
            self._columns_of(raw)
        return Made(rules=[(self.chain, self._rule(raw, number))])

    @staticmethod
    def is_row(raw: str) -> bool:
        """Whether a line is surely a rule of a listing."""
        return len(raw) <= _LONGEST and (_VERBOSE.match(raw) or _PLAIN.match(raw)) is not None

    def _columns_of(self, raw: str) -> None:
        """Which columns a line has, where no line above it says so."""
        verbose = _VERBOSE.match(raw)
        self.counted = self.verbose = verbose is not None
        found = verbose or _PLAIN.match(raw)
        self.numbered = found is not None and found[1] is not None

    def _rule(self, raw: str, number: int) -> str:
        words = raw.split()
        counters = ""
        if self.numbered and words and words[0].isdigit():
            words = words[1:]
        if self.counted and len(words) > 1 and _COUNT.match(words[0]) and _COUNT.match(words[1]):
            counters = f"[{_count(words[0])}:{_count(words[1])}] "
            words = words[2:]
        place = next((i for i, word in enumerate(words[:3]) if word in ("--", "-f", "!f")), None)
        if place is None:  # ip6tables leaves the column of fragments empty
            place = 1 if len(words) > 1 and _protocol(words[0]) and not _protocol(words[1]) else 2
            words = [*words[:place], "--", *words[place:]]
        target = words[place - 2] if place >= 2 else ""
        protocol = words[place - 1]
        rest = words[place + 1 :]
        made = [f"{counters}-A {self.chain}"]
        if self.verbose and len(rest) >= 4:
            made += [
                _value(option, word, ("*", "any")) for option, word in zip(("-i", "-o"), rest, strict=False)
            ]
            rest = rest[2:]
        if len(rest) < 2:
            return f'{made[0]} -m unread --line "{number}"'
        made += [_value(option, word, _ANYWHERE) for option, word in zip(("-s", "-d"), rest, strict=False)]
        if protocol not in ("all", "0"):
            made.append(_value("-p", protocol, ()))
        if words[place] != "--":
            made.append("! -f" if words[place] == "!f" else "-f")
        matches, options, jump = self._extensions(" ".join(rest[2:]), target)
        made += matches
        if target:
            made.append(" ".join([jump, target, *options]))
        return " ".join(filter(None, made))

    def _extensions(self, text: str, target: str) -> tuple[list[str], list[str], str]:
        """(matches, the target's options, -j or -g) of what stands behind the destination."""
        matches: list[str] = []
        options: list[str] = []
        jump = "-g" if text.startswith(_GOTO) else "-j"
        if len(text) > _LONGEST:  # no extension prints so much
            return [f'-m unread --text "{_quoted(text[:80])}"'], [], jump
        while text:
            destination = re.match(r"to:(\S+)", text)
            if destination is not None:
                option = {"SNAT": "--to-source", "NETMAP": "--to"}.get(target, "--to-destination")
                options.append(f"{option} {destination[1]}")
                text = text[destination.end() :].lstrip()
                continue
            if text.startswith(_GOTO):  # it is in ``jump``
                text = text[len(_GOTO) :].lstrip()
                continue
            for kind, found in (("matches", matches), ("targets", options)):
                hit = next(filter(None, (form.read(text) for form in forms(kind))), None)
                if hit is not None:
                    words, end = hit
                    found.append(words)
                    text = text[end:].lstrip()
                    break
            else:
                word, _, text = text.partition(" ")
                matches.append(f'-m unread --text "{_quoted(word)}"')
        return [m for m in matches if m], [o for o in options if o], jump


_ANYWHERE: Final = ("0.0.0.0/0", "::/0", "anywhere")


def _value(option: str, word: str, anything: tuple[str, ...]) -> str:
    if word in anything:
        return ""
    if word.startswith("!"):
        return f"! {option} {word[1:]}"
    return f"{option} {word}"


def _protocol(word: str) -> bool:
    return word.lstrip("!") in (
        "all",
        "tcp",
        "udp",
        "icmp",
        "icmpv6",
        "ipv6-icmp",
        "sctp",
        "esp",
        "ah",
        "gre",
    ) or (word.lstrip("!").isdigit())


def _quoted(word: str) -> str:
    return word.replace("\\", "\\\\").replace('"', '\\"')


def _count(text: str) -> int:
    return int(text[:-1]) * _UNITS[text[-1]] if text[-1] in _UNITS else int(text)
