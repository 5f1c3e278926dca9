"""How rules and states differ, for people: in the form that diff(1) prints."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from kinspect.model.cluster import Endpoint
from kinspect.model.drift import (
    ChainDrift,
    DiffAnswer,
    EndpointChange,
    ExpectedAnswer,
    RulesAnswer,
    RulesDrift,
)  # fmt: skip
from kinspect.model.packet import endpoint_text
from kinspect.report.screen import View, screen
from kinspect.report.whatif.table import print_effect
from kinspect.report.whatif.words import changes, effect_text
from kinspect.report.words import listed
from kinspect.sanitise import safe

_CHAINS = 12  # of a node, that are shown unasked
_SERVICES = 4  # whose shares are shown unasked
_ENDPOINTS = 20


def expected(answer: ExpectedAnswer, view: View) -> str:
    """How each node's rules differ from those that kube-proxy would write."""
    return screen(view, lambda console: _expected(console, answer, wide=False))


def expected_wide(answer: ExpectedAnswer, view: View) -> str:
    """The same with every chain."""
    return screen(view, lambda console: _expected(console, answer, wide=True))


def table(answer: DiffAnswer, view: View) -> str:
    """How two states differ: shares first, then endpoints, then rules."""
    return screen(view, lambda console: _diff(console, answer, wide=False))


def wide(answer: DiffAnswer, view: View) -> str:
    """The same with every service, endpoint and chain."""
    return screen(view, lambda console: _diff(console, answer, wide=True))


def rules(answer: RulesAnswer, view: View) -> str:
    """kube-proxy's rules as text, each part with a comment that iptables-restore passes over."""
    parts = []
    for each in answer.rules:
        tool = "iptables-save" if each.family == 4 else "ip6tables-save"
        lines = "\n".join(safe(line) for line in each.text.splitlines())
        parts.append(f"# {tool} of {safe(each.node)}, kube-proxy's rules: {safe(each.source)}\n{lines}")
    return "\n".join(parts)


def _expected(console: Console, answer: ExpectedAnswer, *, wide: bool) -> None:
    for number, each in enumerate(answer.rules):
        if number and (each.chains or answer.rules[number - 1].chains):
            console.print()
        console.print(_verdict(each))
        _print_chains(console, each.chains, ("which is not there", "which should not be there"), wide=wide)


def _verdict(each: RulesDrift) -> Text:
    where = f"{safe(each.node)}, IPv{each.family}: "
    if not each.chains:
        return Text.assemble((where, "bold"), "the rules are those that kube-proxy would write now")
    said = f"{_count(each.missing)} missing, {each.surplus} too many"
    about = f", for {safe(listed(each.services[:6]))}" if each.services else ""
    older = f"; the API's last change of these: {safe(each.changed)}" if each.changed else ""
    return Text.assemble((where, "bold"), (f"{said}{about}{older}", "red"))


def _count(rules: int) -> str:
    return f"{rules} rule{'' if rules == 1 else 's'}"


def _print_chains(
    console: Console, chains: Sequence[ChainDrift], words: tuple[str, str], *, wide: bool
) -> None:
    """Print chains and their rules; ``words`` are said of a chain that is not there, and of one too many."""
    absent, left_over = words
    shown = chains if wide else chains[:_CHAINS]
    for chain in shown:
        about = f" ({safe(chain.service_port)})" if chain.service_port else ""
        state = f", {absent}" if chain.absent else f", {left_over}" if chain.left_over else ""
        order = ", in another order" if chain.order else ""
        console.print(Text(f"  {chain.table} {safe(chain.chain)}{about}{state}{order}", style="bold cyan"))
        for rule in chain.surplus:
            console.print(Text(f"  - {safe(rule)}", style="red"))
        for rule in chain.missing:
            console.print(Text(f"  + {safe(rule)}", style="green"))
    if len(shown) < len(chains):
        console.print(Text(f"  {len(chains) - len(shown)} more chains: -o wide", style="dim"))


def _diff(console: Console, answer: DiffAnswer, *, wide: bool) -> None:
    differing = [effect for effect in answer.effects if changes(effect)]
    console.print(Text(f"From {safe(answer.before)} to {safe(answer.after)}:", style="dim"))
    for effect in differing:
        console.print(Text(effect_text(effect), style="bold"))
    if not differing:
        console.print(Text("No share of any service's traffic differs.", style="bold"))
    for effect in differing if wide else differing[:_SERVICES]:
        print_effect(console, effect, wide=wide)
    if not wide and len(differing) > _SERVICES:
        console.print()
        console.print(Text(f"{len(differing) - _SERVICES} more services: -o wide", style="dim"))
    if answer.endpoints:
        console.print()
        console.print(Text("Endpoints", style="bold"))
        shown = answer.endpoints if wide else answer.endpoints[:_ENDPOINTS]
        for each in shown:
            console.print(_endpoint_line(each))
        if len(shown) < len(answer.endpoints):
            console.print(Text(f"  {len(answer.endpoints) - len(shown)} more: -o wide", style="dim"))
    for drift in answer.rules:
        console.print()
        counts = f"{_count(drift.missing)} new, {drift.surplus} gone"
        console.print(Text.assemble((f"{safe(drift.node)}, IPv{drift.family}: ", "bold"), counts))
        _print_chains(console, drift.chains, ("new", "gone"), wide=wide)
    for names, which in ((answer.only_before, "first"), (answer.only_after, "second")):
        if names:
            console.print(Text(f"Only in the {which}: {safe(listed(names))}", style="yellow"))


def _endpoint_line(each: EndpointChange) -> Text:
    name = safe("/".join(each.service))
    if each.before is None and each.after is not None:
        return Text(f"  + {name}  {_endpoint(each.after)}", style="green")
    if each.after is None and each.before is not None:
        return Text(f"  - {name}  {_endpoint(each.before)}", style="red")
    assert each.before is not None
    assert each.after is not None
    return Text(f"  ~ {name}  {_endpoint(each.before)}, now {_state(each.after)}", style="yellow")


def _endpoint(endpoint: Endpoint) -> str:
    where = f" on {endpoint.node}" if endpoint.node else ""
    pod = f"  {endpoint.pod[1]}" if endpoint.pod else ""
    return safe(f"{endpoint_text(endpoint.address, endpoint.port)}{pod}{where}, {_state(endpoint)}")


def _state(endpoint: Endpoint) -> str:
    if endpoint.terminating:
        return "terminating" if endpoint.serving else "terminating, not serving"
    return "ready" if endpoint.ready else "not ready"
