"""What kube-proxy rewrites in a node's rules when services or their endpoints change.

Like a sync of kube-proxy: chains of changed services are rewritten or removed, shared chains get
new lines for these services, and nothing else is touched.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from kinspect.kubeproxy import names
from kinspect.kubeproxy.rules import Here, Written, write_port
from kinspect.kubeproxy.usable import of_port
from kinspect.model.cluster import Endpoint, Service
from kinspect.model.rules import ChainName, Ruleset, TableName

ServiceKey: TypeAlias = tuple[str, str]
State: TypeAlias = tuple[Service, Sequence[Endpoint]]
Edits: TypeAlias = Mapping[str, Mapping[str, "Sequence[str] | None"]]
"""By table and chain: the rules that it has now, or None if it no longer exists."""

TABLES: Final = ("filter", "nat")
_OWNER: Final = re.compile(r' --comment "?([^" ]+)')
_ENDPOINT_COMMENT: Final = re.compile(
    r'-m comment --comment (?:"[^"]*"|\S+) (?=.*-j (?:KUBE-SEP-|DNAT |KUBE-MARK-MASQ))'
)


def updates(rules: Ruleset, changed: Mapping[ServiceKey, State | None], here: Here) -> Edits:
    """The chains that differ once kube-proxy has written the services; None: the service is gone.

    Empty if the rules already match.
    """
    written = Written()
    for state in changed.values():
        if state is not None:
            service, endpoints = state
            for port in service.ports:
                write_port(written, service, port, of_port(endpoints, port, here.family), here)
    return {table: found for table in TABLES if (found := _edits(rules, table, changed, written, here))}


def _edits(
    rules: Ruleset, table: str, changed: Iterable[ServiceKey], written: Written, here: Here
) -> dict[str, Sequence[str] | None]:
    owners = {"/".join(key) for key in changed}
    fresh = written.table(table)
    edits: dict[str, Sequence[str] | None] = {}
    chain: str
    roots: set[str] = set()
    for chain in sorted(names.SHARED):
        recorded = _texts(rules, table, chain)
        if recorded is None and chain not in fresh:
            continue
        own, others, at = _parted(recorded or (), owners)
        roots |= {_target(text) for text in own}
        new = fresh.get(chain, [])
        if Counter(map(plain, own)) != Counter(map(plain, new)):
            edits[chain] = [*others[:at], *new, *others[at:]]
    if table == "nat":
        gone = _below(rules, {root for root in roots if root.startswith(names.OF_SERVICE_PORTS)})
        for chain in sorted({*gone, *fresh} - names.SHARED):
            recorded = _texts(rules, table, chain)
            if chain not in fresh:
                edits[chain] = None
            elif recorded is None or not same_rules(recorded, fresh[chain]):
                edits[chain] = fresh[chain]
    return edits


def _texts(rules: Ruleset, table: str, chain: str) -> Sequence[str] | None:
    found = rules.chain(TableName(table), ChainName(chain))
    return None if found is None else found.texts()


def owner(text: str) -> str | None:
    """``namespace/name`` of the service of a rule in a shared chain, by its comment."""
    found = _OWNER.search(text)
    return found[1].partition(":")[0] if found and "/" in found[1] else None


def _parted(texts: Sequence[str], owners: set[str]) -> tuple[list[str], list[str], int]:
    """The rules of some services, the others, and the place of new ones in those."""
    own: list[str] = []
    others: list[str] = []
    at: int | None = None
    for text in texts:
        if owner(text) in owners:
            own.append(text)
            at = len(others) if at is None else at
        else:
            others.append(text)
    if at is None:
        # New services go before what must be last.
        at = len(others)
        while at and names.LAST_RULE in others[at - 1]:
            at -= 1
    return own, others, at


def _target(text: str) -> str:
    return text.rpartition(" -j ")[2]


def _below(rules: Ruleset, roots: set[str]) -> set[str]:
    """The chains of service ports that some chains lead to, and these themselves."""
    waiting, seen = list(roots), set(roots)
    for chain in waiting:
        for text in _texts(rules, "nat", chain) or ():
            target = _target(text)
            if target.startswith(names.OF_SERVICE_PORTS) and target not in seen:
                seen.add(target)
                waiting.append(target)
    return {chain for chain in seen if _texts(rules, "nat", chain) is not None}


def plain(text: str) -> str:
    """A rule with one space where a release prints two."""
    return " ".join(text.split()) if "  " in text else text


def same_rules(recorded: Sequence[str], written: Sequence[str]) -> bool:
    """Whether both texts of a service port's chain do the same, rule by rule.

    Endpoints may be in another order, since each position has the same share; and kube-proxy keeps or
    omits comments as when it wrote the chain.
    """
    if list(recorded) == list(written):
        return True
    if len(recorded) != len(written):
        return False
    return _shapes(recorded) == _shapes(written)


_SEP: Final = re.compile(rf"{names.ENDPOINT}\S+")


def comparable(text: str) -> str:
    """A rule without the optional comment on an endpoint."""
    return _ENDPOINT_COMMENT.sub("", plain(text)) if names.ENDPOINT in text else plain(text)


def _shapes(texts: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """The rules without their endpoints, and the endpoints."""
    shapes, ends = [], []
    for text in texts:
        chain, _, rule = comparable(text)[3:].partition(" ")
        if not chain.startswith(names.ENDPOINT):
            ends += _SEP.findall(rule)
            rule = _SEP.sub(names.ENDPOINT, rule)
        shapes.append(rule)
    return shapes, Counter(ends)
