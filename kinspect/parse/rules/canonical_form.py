"""Brings rules in any form to iptables-save's form; each line keeps its number.

``iptables -S`` output, greps of a dump, scripts of ``iptables`` commands, several dumps in one
file, indented, commented or numbered by hand. Commands do what iptables and iptables-restore do
(iptables.c, iptables-restore.c). What the form does not show becomes a note.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from kinspect.errors import RulesError
from kinspect.model.packet import Family
from kinspect.parse.rules import prompts
from kinspect.parse.rules.listing import HEADER as LISTED_CHAIN
from kinspect.parse.rules.listing import Listing
from kinspect.parse.rules.pasted import unwrapped
from kinspect.parse.rules.rule import parse_rule
from kinspect.parse.rules.strangers import stranger
from kinspect.parse.rules.words import LONGEST, BadQuote, split

_COUNTED: Final = re.compile(r"\[(\d+):(\d+)\]\s+")
_BEHIND: Final = re.compile(r" \[(\d+):(\d+)\]$")  # counters after the rule, as old tools print them
_REMARK: Final = re.compile(r'^((?:[^"\'\\#]|\\.|"(?:[^"\\]|\\.)*"|\'[^\']*\')*?) #.*$')
_CUT: Final = re.compile(r"(?:\.\.\.|…|\[\.\.\.\]|---?-?|<snip>|-- ?(?:snip|more) ?--)$", re.IGNORECASE)
_POLICIES: Final = frozenset({"ACCEPT", "DROP", "QUEUE", "RETURN"})
_WARNING: Final = re.compile(r"# Warning: ip6?tables-legacy tables present")
_JUMPED: Final = re.compile(r"\s-[jg]\s+([^\s\"']+)")

BUILTIN: Final = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
_ROUTED: Final = frozenset({"INPUT", "FORWARD", "OUTPUT"})
HOOKS: Final = {
    "raw": frozenset({"PREROUTING", "OUTPUT"}),
    "mangle": BUILTIN,
    "nat": BUILTIN - {"FORWARD"},
    "filter": _ROUTED,
    "security": _ROUTED,
}
"""The built-in chains that a table can have."""

TABLE_OF_TARGET: Final = {
    "DNAT": "nat", "SNAT": "nat", "MASQUERADE": "nat", "REDIRECT": "nat", "NETMAP": "nat",
    "REJECT": "filter", "TPROXY": "mangle", "CT": "raw", "NOTRACK": "raw",
}  # fmt: skip
"""Targets that the kernel accepts in one table only (``.table`` of each xt_target)."""

_COMMANDS: Final = {
    "-A": "append", "--append": "append", "-I": "insert", "--insert": "insert", "-D": "delete",
    "--delete": "delete", "-R": "replace", "--replace": "replace", "-P": "policy", "--policy": "policy",
    "-N": "new", "--new": "new", "--new-chain": "new", "-F": "flush", "--flush": "flush",
    "-X": "remove", "--delete-chain": "remove", "-E": "rename", "--rename-chain": "rename",
    "-Z": "look", "--zero": "look", "-C": "look", "--check": "look", "-L": "look", "--list": "look",
    "-S": "look", "--list-rules": "look",
}  # fmt: skip


_TARGETS: Final = re.compile(
    rf"(?:-j +|^(?: *[\dKMGT]+){{0,3}} *)({'|'.join(TABLE_OF_TARGET)})(?=\s)", re.MULTILINE
)


class KnownChains(Protocol):
    """Chains whose rules are the same everywhere, by who writes them."""

    def rules(self, table: str, chain: str) -> Sequence[str] | None:
        """The rules of a chain; None if they differ between hosts."""
        ...

    def last(self, chain: str, has: Callable[[str], bool]) -> str | None:
        """The chain that the last rule of a chain always leads to; None if that differs."""
        ...

    def ends_packets(self, chain: str) -> bool:
        """Whether no packet comes back from such a chain."""
        ...

    def leads_to(self, rule: str) -> str | None:
        """Where a chain sends packets, according to the rule that jumps to it; None if the rule does not say."""
        ...


@dataclass(slots=True)
class _Table:
    declared: dict[str, tuple[str, int]] = field(default_factory=dict)  # policy, line
    chains: dict[str, list[tuple[str, int]]] = field(default_factory=dict)  # rules with their lines
    committed: bool = False

    def has(self, chain: str) -> bool:
        return chain in self.declared or chain in self.chains


@dataclass(frozen=True, slots=True)
class Canonical:
    """Text in iptables-save's form, the file's line behind each of its lines, and what to note.

    A line below 1 is a rule that no line of the file holds.
    """

    text: str
    numbers: Sequence[int]
    notes: tuple[str, ...]
    complete: bool  # False: a fragment, which may lack chains
    whole: bool  # tables that are not here do not exist
    saved: bool  # by iptables-save, which declares all chains of a table


def canonical(
    text: str,
    *,
    source: str,
    family: Family,
    table: str | None,
    chain: str | None = None,
    known: KnownChains | None = None,
) -> Canonical:
    """Bring text of any form to the one form. Raises RulesError for an unknown form.

    ``table`` is that of rules without a line that names their table, ``chain`` that of a listing's lines without
    a header. ``known`` are chains to add if a fragment jumps to them and lacks them.
    """
    return _Reader(source, family, table, chain, known).read(text)


def saved_whole(tables: Collection[str], text: str) -> bool:
    """Whether tables that somebody saved are all that the host has.

    iptables-save prints every table that exists, and with -t one; so several in one text are all. A
    text without filter, or one of kube-proxy's filter without nat, is assumed to be joined from parts.
    """
    if _WARNING.search(text) is not None:
        return False
    return len(tables) > 1 and "filter" in tables and ("nat" in tables or "KUBE-" not in text)


class _Reader:
    """Reads line by line what the fast path does not accept."""

    def __init__(
        self,
        source: str,
        family: Family,
        table: str | None,
        chain: str | None,
        known: KnownChains | None,
    ) -> None:
        self._source = source
        self._family = family
        self._default = table
        self._chain = chain
        self._known = known
        self._tables: dict[str, _Table] = {}
        self._current: str | None = None
        self._skipping = False  # the lines of the other family's dump
        self._saved = False  # a line such as *nat was seen
        self._complete = True
        self._policies = False
        self._scripted = False  # commands that make rules were seen
        self._all_asked = False  # the command that printed the text asked for all tables
        self._notes: dict[str, None] = {}
        self._listing: Listing | None = None
        self._text = ""

    def read(self, text: str) -> Canonical:
        self._text = text
        raw = text.split("\n")
        for number, line in enumerate(raw):
            if len(line) > LONGEST:
                raise RulesError(
                    "a line longer than any that iptables prints",
                    source=self._source,
                    line=number,
                    hint="give iptables-save output",
                )
        lines = unwrapped(raw)
        number = 0
        while number < len(lines):
            pieces: list[str] = []
            at, length = number, 0
            # A script's line continues after a backslash.
            while lines[number].endswith("\\") and number + 1 < len(lines) and length < LONGEST:
                pieces.append(lines[number][:-1].strip() if pieces else lines[number][:-1].rstrip())
                length += len(pieces[-1]) + 1
                number += 1
            pieces.append(lines[number].strip() if pieces else lines[number])
            number += 1
            self._line(" ".join(pieces), at)
        return self._finish(len(lines) - 2)

    def _line(self, raw: str, number: int) -> None:
        """One line; ``number`` is its place in the file, from 1."""
        line = raw.strip()
        command = prompts.printing(line)
        if command is not None:
            self._prompt(command)
            return
        if line.startswith("#"):
            if "Generated by ip" in line:
                self._skipping = ("Generated by ip6tables" in line) != (self._family == 6)
            return
        if not line or self._skipping or prompts.is_prompt(line):
            return
        if LISTED_CHAIN.match(line) or (self._listing is not None and not line.startswith(("*", "-A", ":"))):
            self._listed(raw, number)
        elif line.startswith("*"):
            self._section(line[1:].strip(), number)
        elif line == "COMMIT":
            if self._current is not None:
                self._tables[self._current].committed = True
            self._current = None
        elif line.startswith(":"):
            self._declaration(line[1:].split(), number, line)
        elif _CUT.fullmatch(line):
            self._complete = False
            self._notes[f"{self._source}:{number}: lines are missing here: treated as a fragment"] = None
        elif Listing.is_row(raw):
            self._listed(raw, number)
        else:
            self._command(line, number)

    def _prompt(self, command: prompts.Printing) -> None:
        """The command that printed what follows: it names the family, the table and perhaps the chain."""
        self._listing = None
        self._skipping = command.family != self._family
        if command.table is not None:
            self._default = command.table
        elif self._default is None and not command.saves:
            self._default = "filter"  # what iptables lists by default
        if command.filtered:
            self._complete = False
        elif command.saves and command.table is None:
            self._all_asked = True

    def _section(self, name: str, number: int) -> None:
        if name in self._tables and self._tables[name].committed:
            self._notes[
                f"{self._source}:{number}: table {name} is here a second time: the last one is used"
            ] = None
            del self._tables[name]
        self._tables.setdefault(name, _Table())
        self._current, self._saved, self._listing = name, True, None

    def _table(self, number: int, line: str, named: str | None = None) -> tuple[str, _Table]:
        name = named or self._current or self._default or self._told_by_targets()
        if name is None:
            raise RulesError(
                "rules without a table: no line such as *nat precedes them",
                source=self._source,
                line=number,
                text=_short(line),
                hint="give the whole output of iptables-save, or name the table with --table",
            )
        return name, self._tables.setdefault(name, _Table())

    def _told_by_targets(self) -> str | None:
        """The table of rules without a line that names it, if their targets belong to one table only."""
        found = {TABLE_OF_TARGET[word] for word in _TARGETS.findall(self._text)}
        if len(found) != 1:
            return None
        (self._default,) = found
        self._notes[
            f"no line names the table; assuming {self._default}, the only one with the targets of these rules"
        ] = None
        return self._default

    def _built_in(self, name: str, chain: str, number: int, line: str) -> None:
        """Refuse a built-in chain that the table cannot have: the rule is another table's."""
        hooks = HOOKS.get(name)
        if chain in BUILTIN and hooks is not None and chain not in hooks:
            others = [other for other, own in HOOKS.items() if chain in own and other != "security"]
            raise self._error(
                f"table {name} has no chain {chain}",
                number,
                line,
                hint=f"the line belongs to another table ({', '.join(others)}): --table names it",
            )

    def _declaration(self, words: list[str], number: int, line: str) -> None:
        if not words:
            raise self._odd(line, number)
        policy = words[1] if len(words) > 1 and words[1] in _POLICIES else "-"
        name, table = self._table(number, line)
        chain = words[0]
        self._built_in(name, chain, number, line)
        if chain in table.declared and self._current is not None and chain not in BUILTIN:
            raise self._error(f"chain {chain} is declared twice", number, line, hint="give a single dump")
        if policy != "-" or chain not in table.declared:  # of a built-in chain's policies the last counts
            table.declared[chain] = (policy, number)

    def _command(self, line: str, number: int) -> None:
        """``-A``, ``-P``, ``-N`` and the like, with what people leave around them."""
        command = prompts.changing(line)
        named = None
        if command is not None:
            if command.family != self._family:
                return
            line, named = command.words, command.table or "filter"
            self._scripted = True
        remark = _REMARK.match(line)
        if remark is not None:
            line = remark[1].rstrip()
        counters = ""
        counted, behind = _COUNTED.match(line), _BEHIND.search(line)
        if counted is not None:
            counters, line = f"[{counted[1]}:{counted[2]}] ", line[counted.end() :]
        elif behind is not None:
            counters, line = f"[{behind[1]}:{behind[2]}] ", line[: behind.start()]
        words = line.split(None, 2)
        action = _COMMANDS.get(words[0]) if words else None
        if action is None or (len(words) < 2 and action not in ("flush", "remove", "look")):
            raise self._odd(line, number)
        name, table = self._table(number, line, named)
        if action == "look":
            self._notes[f"{self._source}:{number}: {words[0]} is ignored: it changes no rule"] = None
            return
        chain = words[1] if len(words) > 1 else ""
        self._built_in(name, chain, number, line)
        rest = words[2].strip() if len(words) > 2 else ""
        if named is None and self._current is None:
            self._of_table(name, rest, number, line)
        _Change(self, table, chain, rest, counters, number, line).apply(action)

    def _of_table(self, name: str, rest: str, number: int, line: str) -> None:
        """Refuse a rule whose target belongs to another table, if --table put it into this one."""
        for target in _JUMPED.findall(f" {rest}")[:1]:
            own = TABLE_OF_TARGET.get(target)
            if own is not None and own != name:
                raise self._error(
                    f"-j {target} belongs to table {own}, not to {name}", number, line, hint=f"--table {own}"
                )

    def policy(self, table: _Table, chain: str, policy: str, number: int) -> None:
        """``-P``."""
        table.declared[chain] = (policy, number)
        self._policies = True

    @property
    def strict(self) -> bool:
        """Whether the text is for iptables-restore: it refuses errors after which a shell continues."""
        return self._current is not None

    def note(self, number: int, text: str) -> None:
        """Add a note about a line to the answer."""
        self._notes[f"{self._source}:{number}: {text}"] = None

    def _listed(self, raw: str, number: int) -> None:
        name, table = self._table(number, raw)
        if self._listing is None:
            headed = LISTED_CHAIN.match(raw.strip()) is not None
            if not headed and self._chain is None:
                raise self._error(
                    'a line of a listing without its "Chain …" header',
                    number,
                    raw,
                    hint=f"--start {name}:CHAIN names its chain; or give the whole listing",
                )
            self._listing = Listing(self._source, self._family, chain=None if headed else self._chain)
            if not headed:
                self._complete = False
                self._notes[f"lines without a header are read as rules of {self._chain}, as --start says"] = (
                    None
                )
        made = self._listing.line(raw, number)
        for chain, policy in made.declared:
            self._built_in(name, chain, number, raw)
            table.declared.setdefault(chain, (policy, number))
        for chain, rule in made.rules:
            self._of_table(name, rule, number, raw)
            table.chains.setdefault(chain, []).append((rule, number))
        for note in self._listing.notes:
            self._notes[note] = None

    def _error(self, message: str, number: int, line: str, *, hint: str) -> RulesError:
        return RulesError(message, source=self._source, line=number, text=_short(line), hint=hint)

    def refused(self, message: str, number: int, line: str) -> RulesError:
        """An error for something that iptables-restore would refuse."""
        return self._error(
            message, number, line, hint="iptables-restore refuses it, too: give iptables-save's output"
        )

    def _odd(self, line: str, number: int) -> RulesError:
        found = stranger(self._text)
        if found is not None:
            what, hint = found
            return self._error(f"this is {what}, not rules of iptables", number, line, hint=hint)
        return self._error(
            "iptables-save does not print such a line",
            number,
            line,
            hint="give the output of iptables-save, iptables -S or iptables -L -n -v",
        )

    def _finish(self, last: int) -> Canonical:
        for name, table in self._tables.items():
            if self._saved and not table.committed and self._listing is None and self._complete:
                raise RulesError(
                    f"table {_short(name)} has no COMMIT: the dump is cut short",
                    source=self._source,
                    line=max(last, 1),
                    hint="take the dump again",
                )
        if self._listing is not None or not (self._saved or self._policies):
            self._complete = False
        if not self._complete and self._listing is None and self._tables:
            self._notes["a fragment of a dump: chains that are not in it are not known"] = None
        whole = self._whole()
        if not self._complete:
            self._assume()
        lines, numbers = [""], [0]
        for name, table in self._tables.items():
            made = [(f"*{name}", 0)]
            made += [
                (f":{chain} {policy} [0:0]", number) for chain, (policy, number) in table.declared.items()
            ]
            for rules in table.chains.values():
                made += rules
            made.append(("COMMIT", 0))
            lines += [line for line, _ in made]
            numbers += [number for _, number in made]
        return Canonical(
            "\n".join([*lines, ""]), numbers, tuple(self._notes), self._complete, whole, self._saved
        )

    def _whole(self) -> bool:
        if self._complete and self._saved:
            if _WARNING.search(self._text) is not None:
                return False
            return self._all_asked or saved_whole(self._tables, self._text)
        # A script is assumed to be complete if it makes rules in both tables that matter.
        if (
            self._scripted
            and not self._saved
            and self._listing is None
            and {"nat", "filter"} <= set(self._tables)
        ):
            self._notes["commands: treated as if run on a host without other rules"] = None
            return True
        return False

    def _assume(self) -> None:
        """Add chains that the fragment jumps to and lacks, if they are the same everywhere."""
        if self._known is None:
            return
        number, assumed = 0, []
        for name, table in self._tables.items():
            for chain, held in table.chains.items():
                last = self._known.last(chain, table.has)
                if last is not None and not any(rule.endswith(f"-A {chain} -j {last}") for rule, _ in held):
                    number -= 1
                    held.append((f"-A {chain} -j {last}", number))
                    self._notes[
                        f"the last rule of {chain} is not in this text: assumed to lead to {last}, as it always does"
                    ] = None
            waiting = [rule for rules in table.chains.values() for rule, _ in rules]
            for rule in waiting:
                for chain in _JUMPED.findall(rule):
                    rules = None if table.has(chain) else self._known.rules(name, chain)
                    if rules is None:
                        continue
                    table.declared[chain] = ("-", 0)
                    assumed.append(chain)
                    for text in rules:
                        number -= 1
                        table.chains.setdefault(chain, []).append((f"-A {chain} {text}", number))
        for chain in assumed:
            self._notes[
                f"{chain} is not in this text: assumed to hold what kube-proxy always writes there"
            ] = None


@dataclass(frozen=True, slots=True)
class _Change:
    """One command on one chain, done as iptables does it."""

    reader: _Reader
    table: _Table
    chain: str
    rest: str  # behind the chain
    counters: str
    number: int  # its line
    line: str

    def apply(self, action: str) -> None:
        """Raises RulesError if iptables-restore would refuse it."""
        if self.reader.strict and self.rest and action in ("new", "flush", "remove"):
            raise self.reader.refused(
                f"nothing follows the chain's name: {self.rest}", self.number, self.line
            )
        actions: dict[str, Callable[[], None]] = {
            "append": self._append,
            "insert": self._insert,
            "delete": self._delete,
            "replace": self._replace,
            "policy": self._policy,
            "new": self._new,
            "flush": self._flush,
            "remove": self._remove,
            "rename": self._rename,
        }
        actions[action]()

    @property
    def _rules(self) -> list[tuple[str, int]]:
        return self.table.chains.setdefault(self.chain, [])

    def _rule(self, rest: str) -> tuple[str, int]:
        return f"{self.counters}-A {self.chain} {rest}".rstrip(), self.number

    def _append(self) -> None:
        self._rules.append(self._rule(self.rest))

    def _place(self) -> tuple[int | None, str]:
        """The rule number in front of a rule, and the rule."""
        first, _, rest = self.rest.partition(" ")
        return (int(first), rest.strip()) if first.isdigit() and len(first) < 10 else (None, self.rest)

    def _insert(self) -> None:
        place, rest = self._place()
        if place == 0 or ((place or 1) > len(self._rules) + 1 and self.reader.strict):
            raise self.reader.refused(f"chain {self.chain} has no place {place}", self.number, self.line)
        self._rules.insert((place or 1) - 1, self._rule(rest))

    def _found(self) -> int | None:
        """The index of the rule, by number or by its words."""
        place, rest = self._place()
        if place is not None and not rest:
            return place - 1 if 0 < place <= len(self._rules) else None
        wanted = _meaning(f"-A {self.chain} {self.rest}")
        texts = [_COUNTED.sub("", rule, count=1) for rule, _ in self._rules]
        return next((i for i, text in enumerate(texts) if _meaning(text) == wanted), None)

    def _delete(self) -> None:
        index = self._found()
        if index is not None:
            del self._rules[index]
        elif self.reader.strict:
            raise self.reader.refused(f"chain {self.chain} has no such rule", self.number, self.line)
        else:
            self.reader.note(self.number, "deletes a rule that is not in this text")

    def _replace(self) -> None:
        place, rest = self._place()
        if place is None or not 0 < place <= len(self._rules):
            raise self.reader.refused(f"chain {self.chain} has no such rule", self.number, self.line)
        self._rules[place - 1] = self._rule(rest)

    def _policy(self) -> None:
        policy = self.rest if self.reader.strict else (self.rest.split() or [""])[0]
        if policy not in _POLICIES:
            raise self.reader.refused(f"{policy or 'nothing'} is not a policy", self.number, self.line)
        self.reader.policy(self.table, self.chain, policy, self.number)

    def _new(self) -> None:
        if self.chain in self.table.declared and self.reader.strict:
            raise self.reader.refused(f"chain {self.chain} already exists", self.number, self.line)
        self.table.declared.setdefault(self.chain, ("-", self.number))

    def _flush(self) -> None:
        if self.reader.strict and not self.chain:  # legacy flushes these rules, nft those loaded before
            raise self.reader.refused("-F names no chain", self.number, self.line)
        for chain in [self.chain] if self.chain else list(self.table.chains):
            if chain in self.table.chains:
                del self.table.chains[chain]
                self.table.declared.setdefault(
                    chain, ("-" if chain not in BUILTIN else "ACCEPT", self.number)
                )

    def _remove(self) -> None:
        """Delete a chain, or without a name all that are empty and unreferenced."""
        led_to = {
            name
            for rules in self.table.chains.values()
            for rule, _ in rules
            for name in _JUMPED.findall(rule)
        }
        busy = {chain for chain, rules in self.table.chains.items() if rules} | led_to
        if self.chain and self.reader.strict and (self.chain in busy or not self.table.has(self.chain)):
            raise self.reader.refused(f"chain {self.chain} cannot be deleted", self.number, self.line)
        for chain in [self.chain] if self.chain else list(self.table.declared):
            if chain not in busy and chain not in BUILTIN:
                self.table.declared.pop(chain, None)
                self.table.chains.pop(chain, None)

    def _rename(self) -> None:
        raise self.reader.refused("renaming chains is not supported", self.number, self.line)


def _meaning(rule: str) -> object:
    """A key that is equal for rules that iptables considers equal."""
    try:
        read = parse_rule(rule, source="", line=0, number=0)
    except RulesError:
        try:
            return tuple(word.text for word in split(rule))
        except BadQuote:
            return rule
    return tuple(clause.match for clause in read.clauses), read.target, read.target_text.split()


def _short(text: str, most: int = 160) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
