"""``iptables -L [-n] [-v] [--line-numbers]``: what people paste, as rules again.

A listing is made for eyes: without ``-v`` it leaves the interfaces out, without ``-n`` it may show
names for numbers. Each line becomes a rule in iptables-save's words; unknown parts of a line stay
as an undecided match. Source: print_rule of iptables' own
iptables.c and each extension's ``print``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from kinspect.model.packet import Family

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
_LONGEST: Final = 4096  # characters after the destination
_UNITS: Final = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Made:
    """The content of one line of a listing: chains with their policies, and rules."""

    declared: list[tuple[str, str]] = field(default_factory=list)
    rules: list[tuple[str, str]] = field(default_factory=list)  # with the chain of each


# What the extensions print after the destination, and the options that it means. Tried in order,
# at the beginning of the rest of the line.
_Words = Callable[[re.Match[str]], str]


def _option(template: str) -> _Words:
    return lambda found: found.expand(template)


def _inverted(template: str) -> _Words:
    """The template with ``!`` before its option if the listing has one before the value."""
    negated = re.sub(r"(^| )--", r"\1! --", template, count=1)
    return lambda found: found.expand(negated if found["not"] else template)


_N: Final = r"(?P<not>! ?)?"
_RECENT: Final = (
    r"(?:recent: )?(CHECK|SET|UPDATE|REMOVE)(?: seconds: (\d+))?(?: reap)?(?: hit_count: (\d+))?(?: TTL-Match)?"
    r" name: (\S+)(?: side: (\S+))?(?: mask: (\S+))?"
)
_PRINTED: Final[tuple[tuple[re.Pattern[str], _Words], ...]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"/\* (?P<text>.*?) \*/", lambda found: f'-m comment --comment "{_quoted(found["text"])}"'),
        (r"(tcp|udp|sctp|dccp)(?= |$)(?! (?:flags:))", _option(r"")),
        (rf"dpts?:{_N}(\S+)", _inverted(r"--dport \2")),
        (rf"spts?:{_N}(\S+)", _inverted(r"--sport \2")),
        (rf"(?:tcp )?flags:{_N}(0x[0-9A-Fa-f]+/0x[0-9A-Fa-f]+)", lambda found: _tcp_flags(found)),
        (rf"multiport dports {_N}(\S+)", _inverted(r"-m multiport --dports \2")),
        (rf"multiport sports {_N}(\S+)", _inverted(r"-m multiport --sports \2")),
        (rf"multiport ports {_N}(\S+)", _inverted(r"-m multiport --ports \2")),
        (rf"{_N}ctstate (\S+)", _inverted(r"-m conntrack --ctstate \2")),
        (rf"{_N}state (\S+)", _inverted(r"-m state --state \2")),
        (rf"statistic mode random {_N}probability (\S+)", _inverted(r"-m statistic --mode random --probability \2")),
        (rf"statistic mode nth {_N}every (\d+)(?: packet (\d+))?",
         lambda f: f"-m statistic --mode nth {'! ' if f['not'] else ''}--every {f[2]} --packet {f[3] or 0}"),
        (rf"connmark match {_N} ?(\S+)", _inverted(r"-m connmark --mark \2")),
        (rf"mark match {_N} ?(\S+)", _inverted(r"-m mark --mark \2")),
        (rf"ADDRTYPE match dst-type {_N}(\S+)", _inverted(r"-m addrtype --dst-type \2")),
        (rf"ADDRTYPE match src-type {_N}(\S+)", _inverted(r"-m addrtype --src-type \2")),
        (rf"{_N}match-set (\S+) (\S+)", _inverted(r"-m set --match-set \2 \3")),
        (rf"source IP range {_N}(\S+)", _inverted(r"-m iprange --src-range \2")),
        (rf"destination IP range {_N}(\S+)", _inverted(r"-m iprange --dst-range \2")),
        (rf"(?:icmp ?|ipv6-icmp)type {_N}?(\d+)(?: code (\d+))?",
         lambda f: f"{'! ' if f['not'] else ''}--icmp-type {f[2]}" + (f"/{f[3]}" if f[3] else "")),
        (r"icmp (?P<not>!)?([a-z][a-z-]+)", _inverted(r"--icmp-type \2")),
        (r"limit: avg (\S+) burst (\d+)", _option(r"-m limit --limit \1 --limit-burst \2")),
        (_RECENT, lambda found: _recent(found)),
        (rf"owner UID match {_N}(\d+)", _inverted(r"-m owner --uid-owner \2")),
        (rf"owner GID match {_N}(\d+)", _inverted(r"-m owner --gid-owner \2")),
        (r"policy match dir (in|out) pol (none|ipsec)", _option(r"-m policy --dir \1 --pol \2")),
        (rf"{_N}MAC ?:?(\S+)", _inverted(r"-m mac --mac-source \2")),
        (r"nfacct-name +(\S+)", _option(r"-m nfacct --nfacct-name \1")),
    )
)  # fmt: skip
# What targets print; the words go after ``-j TARGET``.
_TARGETS: Final[tuple[tuple[re.Pattern[str], _Words], ...]] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\[goto\]", _option("")),
        (r"reject-with (\S+)", _option(r"--reject-with \1")),
        (r"redir ports (\S+)", _option(r"--to-ports \1")),
        (r"masq ports: (\S+)", _option(r"--to-ports \1")),
        (r"(?:CONN)?MARK (?:x?set) (\S+)", _option(r"--set-xmark \1")),
        (r"(?:CONN)?MARK or (\S+)", _option(r"--or-mark \1")),
        (r"(?:CONN)?MARK and (\S+)", _option(r"--and-mark \1")),
        (r"(?:CONN)?MARK xor (\S+)", _option(r"--xor-mark \1")),
        (r"CONNMARK save(?: mask (\S+))?", lambda f: f"--save-mark{f' --mask {f[1]}' if f[1] else ''}"),
        (r"CONNMARK restore(?: mask (\S+))?", lambda f: f"--restore-mark{f' --mask {f[1]}' if f[1] else ''}"),
        (r"random-fully", _option("--random-fully")),
        (r"random", _option("--random")),
        (r"persistent", _option("--persistent")),
        (r"LOG .*$|NFLOG .*$|nflog-.*$|TCPMSS .*$|CHECKSUM .*$|CLASSIFY .*$|NOTRACK|CT .*$", _option("")),
    )
)  # fmt: skip


def _recent(found: re.Match[str]) -> str:
    action = {"CHECK": "rcheck", "SET": "set", "UPDATE": "update", "REMOVE": "remove"}[found[1]]
    words = [f"-m recent --{action}"]
    if found[2]:
        words.append(f"--seconds {found[2]}")
    if found[3]:
        words.append(f"--hitcount {found[3]}")
    words.append(f"--name {found[4]}")
    words.append("--rdest" if found[5] == "dest" else "--rsource")
    return " ".join(words)


@dataclass(slots=True)
class Listing:
    """Reads a listing line by line; ``notes`` says what its form does not show."""

    source: str
    family: Family
    notes: dict[str, None] = field(default_factory=dict)
    chain: str | None = None
    numbered: bool = False
    counted: bool = False
    verbose: bool = False
    headed: bool = False  # a line with the columns' names was seen

    def line(self, raw: str, number: int) -> Made:
        """The content of a line; empty if it is not a rule."""
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
                self.notes[
                    "a listing without -v does not show interfaces (-i, -o): any interface is assumed"
                ] = None
            return Made()
        if self.chain is None:
            return Made()
        if not self.headed:
            self._columns_of(raw)
        return Made(rules=[(self.chain, self._rule(raw, number))])

    @staticmethod
    def is_row(raw: str) -> bool:
        """Whether a line is certainly a rule of a listing."""
        return len(raw) <= _LONGEST and (_VERBOSE.match(raw) or _PLAIN.match(raw)) is not None

    def _columns_of(self, raw: str) -> None:
        """Which columns a line has, if no line above it says so."""
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
        """(matches, the target's options, -j or -g) of the part after the destination."""
        matches: list[str] = []
        options: list[str] = []
        jump = "-g" if text.startswith("[goto]") else "-j"
        if len(text) > _LONGEST:  # no extension prints so much
            return [f'-m unread --text "{_quoted(text[:80])}"'], [], jump
        while text:
            destination = re.match(r"to:(\S+)", text)
            if destination is not None:
                option = {"SNAT": "--to-source", "NETMAP": "--to"}.get(target, "--to-destination")
                options.append(f"{option} {destination[1]}")
                text = text[destination.end() :].lstrip()
                continue
            for table, found in ((_PRINTED, matches), (_TARGETS, options)):
                hit = next(((m, words) for pattern, words in table if (m := pattern.match(text))), None)
                if hit is not None:
                    found.append(hit[1](hit[0]))
                    text = text[hit[0].end() :].lstrip()
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


_FLAGS: Final = ("FIN", "SYN", "RST", "PSH", "ACK", "URG")  # by their bits


def _tcp_flags(found: re.Match[str]) -> str:
    """``0x17/0x02`` as the names of the flags looked at, and of those set."""
    lists = []
    for part in found[2].split("/"):
        bits = int(part, 16)
        lists.append(",".join(name for bit, name in enumerate(_FLAGS) if bits >> bit & 1) or "NONE")
    return f"{'! ' if found['not'] else ''}--tcp-flags {' '.join(lists)}"


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
