"""Rules of others that set or clear the bits by which kube-proxy marks packets for masquerade, or to be dropped.

KUBE-MARK-MASQ sets a bit in nat PREROUTING and OUTPUT, and KUBE-POSTROUTING looks at it. Who sets it makes
packets be masqueraded; who clears it in between keeps them from it. The bits are read off the rules:
--iptables-masquerade-bit changes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kinspect.kubeproxy.names import MARK_DROP, MARK_MASQ, NAT, is_kube
from kinspect.model.audit import FindingKind, Observation, Severity
from kinspect.model.cause import RuleReference
from kinspect.model.node import NodeState
from kinspect.model.rules import ChainName, ChangesMark, LeadsTo, Rule, Ruleset, TableName

COLLISION: Final = FindingKind(
    code="KI126",
    title="another rule changes kube-proxy's mark",
    severity=Severity.WARNING,
    means="A rule that is not kube-proxy's sets or clears the bit by which kube-proxy marks packets for masquerade"
    " (0x4000), or those to be dropped (0x8000). If it is set, packets are masqueraded, or dropped, that should not"
    " be; if it is cleared between DNAT and POSTROUTING, what crosses nodes keeps the client's address, and answers"
    " miss the client.",
    todo="Give the other software another bit of the mark, or kube-proxy (iptables.masqueradeBit, on all nodes).",
    look=("iptables-save | grep -e '-j MARK' -e restore-mark",),
    depends=frozenset({"rules"}),
)
KINDS: Final = (COLLISION,)

_BEFORE_NAT: Final = (
    ("raw", "PREROUTING"),
    ("raw", "OUTPUT"),
    ("mangle", "PREROUTING"),
    ("mangle", "OUTPUT"),
)
_FROM_NAT_ON: Final = (
    ("nat", "PREROUTING"),
    ("nat", "OUTPUT"),
    ("mangle", "INPUT"),
    ("filter", "INPUT"),
    ("mangle", "FORWARD"),
    ("filter", "FORWARD"),
    ("filter", "OUTPUT"),
    ("mangle", "POSTROUTING"),
    ("nat", "POSTROUTING"),
)


def collisions(state: NodeState) -> Iterator[Observation]:
    """Rules outside of KUBE- chains that change a bit of kube-proxy's, where that has an effect."""
    for rulesets in state.rulesets.values():
        bits: dict[str, int] = {}
        for rules in rulesets:
            for what, chain in (("masquerade", MARK_MASQ), ("drop", MARK_DROP)):
                bits[what] = bits.get(what, 0) | _bits_of(rules, chain)
        if any(bits.values()):
            for rules in rulesets:
                yield from _in(state, rules, bits)


def _in(state: NodeState, rules: Ruleset, bits: dict[str, int]) -> Iterator[Observation]:
    seen: set[tuple[str, str, bool]] = set()
    for hooks, clearing in ((_FROM_NAT_ON, True), (_BEFORE_NAT, False)):
        for table, hook in hooks:
            for rule in _marking(rules, TableName(table), ChainName(hook), clearing, seen):
                sets, clears = rule.target.marks if isinstance(rule.target, ChangesMark) else (0, 0)
                for what, mask in bits.items():
                    done = "sets" if sets & mask else "clears" if clearing and clears & mask else None
                    if done is not None:
                        yield Observation(
                            kind=COLLISION,
                            text=f"a rule of {table} {rule.chain} {done} kube-proxy's {what} bit ({mask:#x})",
                            nodes=(state.name,),
                            evidence=(RuleReference(rules.source, rule.line, table, rule.chain, rule.text),),
                        )


def _bits_of(rules: Ruleset, name: ChainName) -> int:
    chain = rules.chain(NAT, name)
    for rule in chain.rules() if chain is not None else ():
        if isinstance(rule.target, ChangesMark):
            return rule.target.marks[0]
    return 0


def _marking(
    rules: Ruleset, table: TableName, name: ChainName, clearing: bool, seen: set[tuple[str, str, bool]]
) -> Iterator[Rule]:
    """The rules that change a mark, in a chain and in those that it leads to; each chain once."""
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if (table, name, clearing) in seen or is_kube(name):
            continue
        seen.add((table, name, clearing))
        chain = rules.chain(table, name)
        for rule in chain.rules() if chain is not None else ():
            if isinstance(rule.target, ChangesMark):
                yield rule
            elif isinstance(rule.target, LeadsTo):
                waiting.append(rule.target.chain)
