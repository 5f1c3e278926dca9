"""iptables-save and ip6tables-save text, indexed by chain; a rule is parsed when its chain is visited.

A dump of a large cluster has hundreds of thousands of lines, of which a trace visits a few: so the
text is cut into the runs of lines that belong to one chain, and nothing more until asked.
Format: iptables-save(8); the two back ends print the same, in different orders of tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from kinspect.errors import RulesError
from kinspect.model.packet import Family, Packet
from kinspect.model.rules import (
    ChainName,
    Clause,
    Closure,
    Counters,
    IptablesBackend,
    Lacking,
    Rule,
    TableName,
    Verdict,
)
from kinspect.netfilter import registry
from kinspect.netfilter.matches.unsupported import UnsupportedMatch
from kinspect.netfilter.targets.unsupported import UnsupportedTarget
from kinspect.parse.rules.canonical_form import (
    BUILTIN,
    HOOKS,
    TABLE_OF_TARGET,
    KnownChains,
    canonical,
    saved_whole,
)
from kinspect.parse.rules.families import families
from kinspect.parse.rules.fast_path import read_rule
from kinspect.parse.rules.strangers import binary
from kinspect.snapshot.dumps import as_utf8

# Lines of one chain that stand together.
_RUN: Final = re.compile(
    r"^(?:\[\d+:\d+\] )?-A ([^ \n]+)(?: [^\n]*)?\n(?:(?:\[\d+:\d+\] )?-A \1(?: [^\n]*)?\n)*", re.M
)
_RULE: Final = re.compile(r"(?:\[(\d+):(\d+)\] )?(-A [^\n]*)\n")
_DECLARATION: Final = re.compile(r"^:([^ \n]+) ([^ \n]+)(?: \[(\d+):(\d+)\])?[ \t]*$", re.M)
# These begin with a plain line end, which the regex engine finds fast; see _decode for the first.
# Blanks that iptables-restore takes, and that the patterns here do not: such text is made canonical.
_BLANKS: Final = ("\t", "\n-A  ", "] -A  ")
_ODD_DECLARATION: Final = re.compile(r"\n:(?![^ \n]+ [^ \n]+(?: \[\d+:\d+\])? *\n)")
_SECTION: Final = re.compile(r"\n\*([^\n]*)(?=\n)")
_ODD: Final = re.compile(r"\n(?!\[\d+:\d+\] -A |-A |:|\*|COMMIT\n|#|\n|\Z)([^\n]*)")

# What a rule's text surely asks of the destination: -d with one address, and a port behind the
# options that may stand between. Anchored at the chain's name, so that a comment cannot forge it.
_KEY: Final = re.compile(
    r"(?:\[\d+:\d+\] )?-A [^ \n]+ (?:(?:! )?-s [^ \n]+ )?(?:-d (?:([^ \n/]+)(?:/(?:32|128))?|[^ \n]+) )?"
    r"(?:(?:! )?-[io] [^ \n]+ )*"
    r'(?:-p (tcp|udp|sctp) (?:-m comment --comment (?:"(?:[^"\\\n]|\\.)*"|[^ "\\\n]+) )?'
    r"(?:-m addrtype --dst-type LOCAL )?-m \2 --dport (\d+) )?[^\n]*\n"
)
_DESTINATIONS: Final = (" -d ", " --dst ", " --destination ")
_PORTS: Final = (" --dport ", " --destination-port ")
_TARGET: Final = re.compile(r" -[jg] ([^ \n]+)")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_COUNTED: Final = re.compile(r"^\[\d+:\d+\] ", re.M)
_LOOKUPS: Final = 64  # chains of a table, beyond which reading all declarations is cheaper
_INDEX_FROM: Final = 32  # rules in a chain, below which looking at all of them is cheaper

_Run: TypeAlias = tuple[int, int, int]  # offset in the text, end, number of the first line


def _count(text: str, words: Sequence[str], start: int, end: int) -> int:
    return sum(text.count(word, start, end) for word in words)


def _sure(rule: str) -> bool:
    """Whether what a rule asks of the destination is there once."""
    length = len(rule)
    return (
        _count(rule, _DESTINATIONS, 0, length) < 2
        and _count(rule, _PORTS, 0, length) < 2
        and rule.count(" -A ", 1 if rule.startswith("[") else 0) < (2 if rule.startswith("[") else 1)
    )


class DumpChain:
    """One chain of a dump; its rules are parsed when asked for."""

    def __init__(self, name: ChainName, policy: Verdict | None, table: _Table, runs: Sequence[_Run]) -> None:
        self.name = name
        self.policy = policy
        self._table = table
        self._runs = runs
        self._parsed: dict[int, Rule] = {}

    @cached_property
    def _lines(self) -> list[tuple[int, str | None, str | None, str]]:
        """Line number, packets, bytes and text of each rule."""
        found = []
        for start, end, line in self._runs:
            for offset, rule in enumerate(_RULE.finditer(self._table.text, start, end)):
                packets, size, text = rule.groups()
                found.append((line + offset, packets, size, text))
        return found

    def _rule(self, index: int) -> Rule:
        rule = self._parsed.get(index)
        if rule is None:
            line, packets, size, text = self._lines[index]
            counters = Counters(int(packets), int(size)) if packets is not None and size is not None else None
            rule = self._read(text, line, index + 1, counters)
            self._parsed[index] = rule
        return rule

    def _read(self, text: str, line: int, number: int, counters: Counters | None) -> Rule:
        """A rule; one that is damaged may match or not, and do anything: it is undecided."""
        table = self._table
        line = table.numbers[line] if table.numbers else line
        try:
            rule = read_rule(
                text, source=table.source, line=line, number=number, counters=counters, family=table.family
            )
            return self._of_table(rule)
        except RulesError as error:
            table.damaged.append(error)
            what = f"line {line} of {table.source}, which cannot be read,"
            clause = Clause(UnsupportedMatch(what), text)
            return Rule(self.name, number, line, text, (clause,), UnsupportedTarget(what), "", counters)

    def _of_table(self, rule: Rule) -> Rule:
        """The rule, if the kernel takes its target in this table. Raises RulesError."""
        _, _, target = rule.target_text.partition(" ")
        name = target.partition(" ")[0]
        own = TABLE_OF_TARGET.get(name)
        if own is not None and own != self._table.name:
            raise RulesError(
                f"-j {name} belongs to table {own}, not to {self._table.name}",
                source=self._table.source,
                line=rule.line,
                text=rule.text,
            )
        return rule

    @cached_property
    def _all(self) -> Sequence[Rule]:
        return tuple(self._rule(index) for index in range(len(self._lines)))

    def rules(self) -> Sequence[Rule]:
        """All rules, parsed."""
        return self._all

    def texts(self) -> Sequence[str]:
        """All rules as the dump has them, without counters; nothing of them is parsed."""
        return [text for _, _, _, text in self._lines]

    @property
    def empty(self) -> bool:
        """Whether it has no rules."""
        return not self._runs

    def lines(self) -> Iterator[tuple[int, str]]:
        """Line and text of each rule; none is parsed."""
        numbers = self._table.numbers
        for line, _, _, text in self._lines:
            yield numbers[line] if numbers else line, text

    def without(self, *words: str) -> Iterator[Rule]:
        """The rules whose text holds none of the words; the others are not parsed."""
        for index, (_, _, _, text) in enumerate(self._lines):
            if not any(word in text for word in words):
                yield self._rule(index)

    def relevant(self, packet: Packet) -> Sequence[Rule]:
        """The rules in order, but for those that name another destination or port."""
        if len(self._lines) < _INDEX_FROM:
            return self._all
        index, dst = self._index, str(packet.dst)
        if packet.dport is None:  # a port may be unknown, not absent: then all of the address
            wanted = sorted(i for key, found in index.items() if key[0] in (None, dst) for i in found)
        else:
            wanted = sorted(
                {
                    *index.get((None, None), ()),
                    *index.get((dst, None), ()),
                    *index.get((dst, packet.dport), ()),
                    *index.get((None, packet.dport), ()),
                }
            )
        return [self._rule(number) for number in wanted]

    @cached_property
    def _index(self) -> dict[tuple[str | None, int | None], list[int]]:
        index: dict[tuple[str | None, int | None], list[int]] = {}
        number = 0
        for start, end, _ in self._runs:
            for dst, _, port in self._keys(start, end):
                index.setdefault((dst or None, int(port) if port else None), []).append(number)
                number += 1
        return index

    def _keys(self, start: int, end: int) -> list[tuple[str, str, str]]:
        """Address, protocol and port that each rule of a run surely asks for; empty: any.

        A rule with two destinations, or two rules on one line, is damaged: it surely asks for nothing.
        """
        text = self._table.text
        keys: list[tuple[str, str, str]] = _KEY.findall(text, start, end)
        named = sum(bool(dst) for dst, _, _ in keys), sum(bool(port) for _, _, port in keys)
        given = (_count(text, _DESTINATIONS, start, end), _count(text, _PORTS, start, end))
        if given == named and text.count(" -A ", start, end) in (0, len(keys)):
            return keys  # each is where the pattern looks for it
        rules = text[start:end].splitlines()
        return [key if _sure(rule) else ("", "", "") for key, rule in zip(keys, rules, strict=True)]


@dataclass
class _Table:
    name: TableName
    text: str
    start: int
    end: int
    line: int
    source: str
    family: Family
    damaged: list[RulesError]  # met so far, of all tables of the dump
    numbers: Sequence[int] = ()  # the file's line behind each line of the text, where they differ
    lookups: int = 0  # of policies, so far

    def declared(self) -> list[str]:
        """The chains that have a declaration, in its order."""
        return [name for name, *_ in _DECLARATION.findall(self.text, self.start, self.end)]

    def policy(self, name: str) -> str | None:
        """The policy that a chain was declared with, ``-`` for user-defined; None: not declared.

        Looked up one by one at first: a trace visits a dozen of a hundred thousand chains.
        """
        self.lookups += 1
        if self.lookups > _LOOKUPS:
            return self._policies.get(name)
        at = self.text.find(f"\n:{name} ", self.start, self.end)
        if at < 0:
            return None
        found = _DECLARATION.match(self.text, at + 1)
        return found[2] if found else None

    @cached_property
    def _policies(self) -> dict[str, str]:
        found = _DECLARATION.findall(self.text, self.start, self.end)
        return {name: policy for name, policy, *_ in reversed(found)}  # the first counts

    @cached_property
    def runs(self) -> dict[str, list[_Run]]:
        """Where each chain's rules stand: (offset, end, number of the first line) of each run."""
        runs: dict[str, list[_Run]] = {}
        count, at, line = self.text.count, self.start, self.line
        for found in _RUN.finditer(self.text, self.start, self.end):
            start, end = found.span()
            line += count("\n", at, start)
            at = start
            name = found[1]
            if name in runs:
                runs[name].append((start, end, line))
            else:
                runs[name] = [(start, end, line)]
        return runs

    def holds(self, name: str) -> bool:
        """Whether there is such a chain."""
        return name in self.runs or name in BUILTIN or self.policy(name) is not None

    def chain(self, name: ChainName) -> DumpChain | None:
        """A chain, made anew; None where there is none."""
        # A chain with rules exists, and only built-in ones have a policy: nothing to look up.
        policy = "-" if name in self.runs and name not in BUILTIN else self.policy(name)
        if policy is None and name not in self.runs and name not in BUILTIN:
            return None
        if policy is None and name in BUILTIN:
            policy = "ACCEPT"  # a table that was never touched: what the kernel begins with
        verdict = Verdict(policy) if policy in ("ACCEPT", "DROP") else None
        return DumpChain(name, verdict, self, self.runs.get(name, ()))

    def line_at(self, at: int) -> str:
        """The line that holds a place of the text."""
        return self.text[self.text.rfind("\n", 0, at) + 1 : self.text.find("\n", at)]

    @cached_property
    def bare(self) -> _Table:
        """The table without counters."""
        text = self.text[self.start : self.end]
        if "\n[" not in text:
            return self
        text = text.replace("\n[0:0] -A ", "\n-A ")  # most rules are met by nothing, and this is quick
        if "\n[" in text:
            text = _COUNTED.sub("", text)
        bare = _Table(self.name, text, 0, len(text), self.line, self.source, self.family, self.damaged)
        bare.__dict__["_policies"] = self._policies  # of lines that have no such counters
        return bare

    def closure(self, name: str, most: int) -> Closure | None:
        """See ``Ruleset.closure``. A comment that quotes a jump makes it larger: never smaller."""
        waiting, seen, left = [name], {name}, most
        found = []
        for chain in waiting:  # which grows on the way
            text = "".join([self.text[start:end] for start, end, _ in self.runs.get(chain, ())])
            left -= text.count("\n")
            if left < 0:
                return None
            found.append((chain, self._policies.get(chain), text))
            fresh = [target for target in dict.fromkeys(_TARGET.findall(text)) if target not in seen]
            seen.update(fresh)
            waiting += fresh
        return tuple(found)

    def has(self, closure: Closure) -> bool:
        """See ``Ruleset.has``."""
        policies, runs, text = self._policies.get, self.runs.get, self.text
        for name, policy, rules in closure:
            if policies(name) != policy:
                return False
            own = runs(name, ())
            if len(own) == 1:  # mostly: they are compared where they stand
                start, end, _ = own[0]
                if end - start != len(rules) or not text.startswith(rules, start):
                    return False
            elif "".join([text[start:end] for start, end, _ in own]) != rules:
                return False
        return True


class Dump:
    """The rules of one family and one back end, as one dump told them."""

    def __init__(
        self,
        tables: Sequence[_Table],
        *,
        source: str,
        family: Family,
        backend: IptablesBackend | None,
        complete: bool = True,
        whole: bool = True,
        declared: bool = True,
        saved: bool = True,
        known: KnownChains | None = None,
        notes: tuple[str, ...] = (),
        damaged: list[RulesError] | None = None,
    ) -> None:
        """``whole``: tables that it lacks do not exist; ``declared``: so do chains of a table that it has."""
        self._tables = {table.name: table for table in tables}
        self._chains: dict[tuple[str, str], DumpChain | None] = {}
        self._asked: dict[re.Pattern[str], bool] = {}
        self.source = source
        self.family: Family = family
        self.backend: IptablesBackend | None = backend
        self.complete = complete
        self._whole = whole
        self._declared = declared
        self._saved = saved
        self._known = known
        self._lacking: dict[tuple[str, str], Lacking | None] = {}
        self.notes = notes  # what the form of the text cannot tell
        self.damaged = [] if damaged is None else damaged  # rules that could not be read, of those visited

    def tables(self) -> list[TableName]:
        """The tables that the dump has, in its order."""
        return list(self._tables)

    def of(self, tables: Sequence[_Table], damaged: list[RulesError]) -> Dump:
        """The same dump of other tables: those that ``edit`` made of its own."""
        return Dump(
            tables,
            source=self.source,
            family=self.family,
            backend=self.backend,
            complete=self.complete,
            whole=self._whole,
            declared=self._declared,
            saved=self._saved,
            known=self._known,
            notes=self.notes,
            damaged=damaged,
        )

    def parts(self) -> list[_Table]:
        """The tables themselves, in the order of the text, which they share."""
        return list(self._tables.values())

    def text(self) -> str:
        """The dump as text, in the form that iptables-save prints."""
        tables = self.parts()
        return tables[0].text[1:] if tables else ""

    def chain(self, table: TableName, name: ChainName) -> DumpChain | None:
        """A chain, or None where there is none."""
        key = (table, name)
        if key not in self._chains:
            found = self._tables.get(table)
            self._chains[key] = found.chain(name) if found else None
        return self._chains[key]

    def holds(self, table: TableName, name: ChainName) -> bool:
        """Whether there is such a chain."""
        found = self._tables.get(table)
        return found is not None and found.holds(name)

    def lacking(self, table: TableName, name: ChainName) -> Lacking | None:
        """The rules of a chain that the text may lack; None: all are here, or there are none."""
        key = (table, name)
        if key not in self._lacking:
            self._lacking[key] = self._lacks(table, name)
        return self._lacking[key]

    def _lacks(self, table: TableName, name: ChainName) -> Lacking | None:
        found = self._tables.get(table)
        if found is None:
            return None if self._whole else Lacking(self._other_tables())
        if self._declared or found.policy(name) is not None:
            return None
        if name not in BUILTIN and (self.complete or name not in found.runs):
            return None
        if self._saved and self.complete and any(found.policy(other) is not None for other in BUILTIN):
            return None  # a save declares all chains of a table that there are
        if name not in found.runs:
            return Lacking(f"chain {name} of table {table}", table)
        # Rules without their chain's policy are what a grep leaves of it.
        return None if self.complete else Lacking(f"the rest of chain {name} of table {table}", table)

    def _other_tables(self) -> str:
        names = [name for name in ("filter", "nat", "mangle", "raw") if name not in self._tables]
        if len(names) < 2:
            return f"table {''.join(names) or 'security'}"
        return f"tables {', '.join(names[:-1])} and {names[-1]}"

    def beginnings(self, table: TableName) -> list[ChainName]:
        """The chains that no rule of the table leads to, built-in ones apart: where a fragment begins."""
        led_to = self.jumps(table)
        return [name for name in self.chains(table) if name not in led_to and name not in BUILTIN]

    def missing(self, rule: Rule, name: ChainName) -> tuple[str, bool]:
        """A chain that a fragment lacks, in words, and whether no packet ever comes back from it."""
        if self._known is None or not self._known.ends_packets(name):
            return name, False
        to = self._known.leads_to(rule.text)
        return f"{name} ({to})" if to else name, True

    def closure(self, table: TableName, name: ChainName, most: int) -> Closure | None:
        """A chain and all that it leads to; None: they have more than ``most`` rules."""
        found = self._tables.get(table)
        return found.bare.closure(name, most) if found else None

    def has(self, table: TableName, closure: Closure) -> bool:
        """Whether all chains of a closure of another dump read the same here, counters apart."""
        found = self._tables.get(table)
        return found is not None and found.bare.has(closure)

    def mentions(self, text: str) -> bool:
        """Whether the text stands anywhere in the dump."""
        return any(table.text.find(text, table.start, table.end) >= 0 for table in self._tables.values())

    def lines(self, table: TableName, name: ChainName) -> Iterator[tuple[int, str]]:
        """Line and text of each rule of a chain; none is parsed."""
        chain = self.chain(table, name)
        return chain.lines() if chain is not None else iter(())

    def asks(self, pattern: re.Pattern[str]) -> bool:
        """See ``Ruleset.asks``."""
        if pattern not in self._asked:
            self._asked[pattern] = any(
                pattern.search(_QUOTED.sub("", table.line_at(found.start())))
                for table in self._tables.values()
                for found in pattern.finditer(table.text, table.start, table.end)
            )
        return self._asked[pattern]

    def jumps(self, table: TableName) -> set[ChainName]:
        """The chains that the table's rules lead to; what a comment quotes may be among them."""
        found = self._tables.get(table)
        words = set(_TARGET.findall(found.text, found.start, found.end)) if found else set()
        return {ChainName(word) for word in words - registry.TARGETS.keys()}

    def chains(self, table: TableName) -> list[ChainName]:
        """The names of a table's chains: those declared, then those that only have rules."""
        found = self._tables.get(table)
        if found is None:
            return []
        return [ChainName(name) for name in dict.fromkeys([*found.declared(), *found.runs])]


def read_dump(
    data: bytes,
    *,
    source: str,
    family: Family | None = None,
    backend: IptablesBackend | None = None,
    table: str | None = None,
    chain: str | None = None,
    by_hand: bool = False,
    known: KnownChains | None = None,
) -> Dump:
    """The dump in ``data``; nothing of it is parsed beyond its outline.

    An empty dump is true: a node without tables prints nothing. ``family`` None: told by the text.
    ``table`` is that of a fragment that does not name it, ``chain`` that of a listing's lines without
    a header. ``by_hand``: somebody saved the text, and it may be a part of what the host has. ``known``
    are chains whose rules are the same everywhere, for a fragment that lacks them.
    Text that is not just as iptables-save prints it is brought to that form first
    (``parse.rules.canonical_form``).
    Raises RulesError naming file and line: not text, not a dump, or cut short.
    """
    text = _decode(data, source)
    if family is None:
        family = 6 if families(text) == (6,) else 4
    if backend is None:
        backend = _backend(text)
    damaged: list[RulesError] = []
    tables = _tables(text, source, family, damaged)
    if tables is not None:
        whole = not by_hand or saved_whole([each.name for each in tables], text)
        return Dump(
            tables,
            source=source,
            family=family,
            backend=backend,
            whole=whole,
            declared=not by_hand,
            damaged=damaged,
        )
    made = canonical(text, source=source, family=family, table=table, chain=chain, known=known)
    tables = _tables(made.text, source, family, damaged, made.numbers)
    assert tables is not None
    return Dump(
        tables,
        source=source,
        family=family,
        backend=backend,
        complete=made.complete,
        whole=made.whole or (made.complete and not by_hand),
        declared=made.complete and not by_hand,
        saved=made.saved,
        known=known,
        notes=made.notes,
        damaged=damaged,
    )


def _decode(data: bytes, source: str) -> str:
    data = as_utf8(data)
    packed = binary(data)
    nul = data.find(b"\0")
    if packed is not None:
        what, hint = packed
        raise RulesError(f"this is {what}, not text", source=source, hint=hint)
    if nul >= 0:
        raise RulesError(
            "this is binary, not text",
            source=source,
            line=data.count(b"\n", 0, nul) + 1,
            hint="give iptables-save output",
        )
    text = data.decode("utf-8", "surrogateescape")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Every line stands between two line ends, the first too: an empty line 0 is put before it.
    return f"\n{text}" if text.endswith("\n") else f"\n{text}\n"


def _backend(text: str) -> IptablesBackend | None:
    found = re.match(r"\n# Generated by (ip6?tables)(-nft|-legacy)?-save v(\S+)(?: \((\S+)\))?", text)
    if found is None:
        return None
    if found[2] == "-nft" or found[4] == "nf_tables":
        return "nft"
    return "legacy"


def _tables(
    text: str, source: str, family: Family, damaged: list[RulesError], numbers: Sequence[int] = ()
) -> list[_Table] | None:
    """The tables of a text in the one form; None where it is not in that form."""
    if _ODD.search(text) is not None or any(blank in text for blank in _BLANKS):
        return None
    sections = list(_SECTION.finditer(text))
    names = [section[1].strip() for section in sections]
    if len(set(names)) < len(names):
        return None
    if not sections:
        return None if any(not line.startswith("#") for line in text.split("\n") if line) else []
    tables = []
    line, at = 1, 0
    for number, section in enumerate(sections):
        end = sections[number + 1].start() if number + 1 < len(sections) else len(text)
        line += text.count("\n", at, section.start())
        at = section.start()
        commit = text.find("\nCOMMIT\n", section.end() - 1, end + 1)
        if commit < 0:
            return None
        name = TableName(names[number])
        if not _declared_at_once(text, section.end(), commit):
            return None
        _check_hooks(name, text, section.end(), commit, source, line)
        tables.append(_Table(name, text, section.end(), commit + 1, line, source, family, damaged, numbers))
    return tables


def _declared_at_once(text: str, start: int, end: int) -> bool:
    """Whether chains are declared before any rule, and as iptables-save does: each built-in one once."""
    first = min(at for at in (text.find("\n-A ", start, end), text.find("\n[", start, end), end) if at >= 0)
    if text.find("\n:", first, end + 1) >= 0 or _ODD_DECLARATION.search(text, start, first + 1) is not None:
        return False
    return all(text.count(f"\n:{name} ", start, first) < 2 for name in BUILTIN)


def _check_hooks(table: str, text: str, start: int, end: int, source: str, line: int) -> None:
    """Refuse rules of built-in chains that the table cannot have, as iptables-restore does."""
    hooks = HOOKS.get(table)
    for name in () if hooks is None else BUILTIN - hooks:
        for begins in (f"\n:{name} ", f"\n-A {name} ", f"] -A {name} "):
            at = text.find(begins, start, end)
            if at >= 0:
                raise RulesError(
                    f"table {table} has no chain {name}",
                    source=source,
                    line=line + text.count("\n", start, at + 1),
                    text=text[at + 1 : text.index("\n", at + 1)],
                    hint="the dump is joined from parts of several: take it again",
                )
