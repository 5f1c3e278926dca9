"""Recorded rules against those that kube-proxy would write: chain by chain, rule by rule.

What is no difference: the order of rules in chains of many services, the order of endpoints, the
comments on endpoints, chains that nothing leads to (in large clusters kube-proxy removes those
late), and rules of others in KUBE-FIREWALL, which kubelet shares.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from kinspect.kubeproxy import names
from kinspect.kubeproxy.rules import Written
from kinspect.kubeproxy.update import TABLES, comparable, plain, same_rules
from kinspect.model.drift import ChainDrift
from kinspect.model.rules import ChainName, Ruleset, TableName

_ABOUT: Final = re.compile(r' --comment "?(?:[^"]* for )?([^" ]+/[^" ]+)')


def drift(rules: Ruleset, expected: Written) -> list[ChainDrift]:
    """The chains of kube-proxy that are otherwise; none if it is in sync."""
    return [found for table in TABLES for found in _table(rules, table, expected.table(table))]


def changes(before: Ruleset, after: Ruleset) -> list[ChainDrift]:
    """The chains that differ between two recorded states: missing rules are new, surplus ones are gone.

    Chains that are not kube-proxy's are compared rule by rule, in order.
    """
    found: list[ChainDrift] = []
    for table in dict.fromkeys([*before.tables(), *after.tables()]):
        for name in sorted({*before.chains(table), *after.chains(table)}):
            old, new = before.chain(table, name), after.chain(table, name)
            texts = [list(chain.texts()) if chain is not None else [] for chain in (old, new)]
            compare = _chain if names.is_own(name) else _foreign
            each = compare(table, name, *texts)
            if each is not None:
                found.append(each)
    return found


def _foreign(table: str, name: str, before: Sequence[str], after: Sequence[str]) -> ChainDrift | None:
    old, new = Counter(before), Counter(after)
    if list(before) == list(after):
        return None
    missing, surplus = tuple(_those(after, new - old)), tuple(_those(before, old - new))
    return ChainDrift(
        table=table, chain=name, missing=missing, surplus=surplus, order=not missing and not surplus
    )


def _table(rules: Ruleset, table: str, expected: dict[str, list[str]]) -> Iterator[ChainDrift]:
    recorded = [name for name in rules.chains(TableName(table)) if names.is_own(name)]
    used = rules.jumps(TableName(table))
    for name in sorted({*recorded, *expected} - {names.CANARY}):
        chain = rules.chain(TableName(table), ChainName(name))
        texts = chain.texts() if chain is not None else ()
        wanted = expected.get(name)
        if wanted is None and (name not in used or not texts):
            continue  # nothing leads there, or it does nothing
        if name == names.FIREWALL:
            texts = [text for text in texts if text in (wanted or ())]
        found = _chain(table, name, texts, wanted or [])
        if found is not None:
            yield found


def _chain(table: str, name: str, recorded: Sequence[str], expected: Sequence[str]) -> ChainDrift | None:
    if name in names.SHARED:
        found, wanted = Counter(map(plain, recorded)), Counter(map(plain, expected))
        last = [plain(text) for text in expected if names.LAST_RULE in text]
        order = found == wanted and [plain(text) for text in recorded][len(recorded) - len(last) :] != last
    elif same_rules(recorded, expected):
        return None
    else:
        found, wanted = Counter(map(comparable, recorded)), Counter(map(comparable, expected))
        order = found == wanted
    if found == wanted and not order:
        return None
    return ChainDrift(
        table=table,
        chain=name,
        service_port=_about(name, [*recorded, *expected]),
        missing=tuple(_those(expected, wanted - found)),
        surplus=tuple(_those(recorded, found - wanted)),
        absent=not recorded and bool(expected) and name not in names.SHARED,
        left_over=not expected and name not in names.SHARED,
        order=order,
    )


def _those(texts: Sequence[str], wanted: Counter[str]) -> Iterator[str]:
    """The rules that are counted, as they stand."""
    left = Counter(wanted)
    for text in texts:
        for form in (plain(text), comparable(text)):
            if left[form] > 0:
                left[form] -= 1
                yield text
                break


def _about(chain: str, texts: Sequence[str]) -> str | None:
    """The service port that a chain is about, by a comment in it; for shared chains there is none."""
    if chain in names.SHARED:
        return None
    for text in texts:
        found = _ABOUT.search(text)
        if found:
            return found[1]
    return None


def services_of(drifts: Sequence[ChainDrift]) -> list[str]:
    """``namespace/name`` of the services that some chains are about, with those of single rules."""
    found: dict[str, None] = {}
    for each in drifts:
        texts = (*each.missing, *each.surplus) if each.chain in names.SHARED else ()
        for port in [each.service_port, *(m[1] for text in texts if (m := _ABOUT.search(text)))]:
            if port:
                found[port.partition(":")[0]] = None
    return sorted(found)
