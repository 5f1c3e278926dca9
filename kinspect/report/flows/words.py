"""All wording of connections. Nothing here decides anything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kinspect.model.flows import Flow, FlowsAnswer, FlowsRow, Stale
from kinspect.report.words import VIA_NAMES, backend_text, port_text
from kinspect.sanitise import safe

STALE_NAMES: Final[dict[str, str]] = {
    "endpoint-gone": "endpoint gone",
    "not-by-rules": "not by today's rules",
    "untranslated": "untranslated: goes nowhere",
}
STALE_MEANS: Final[dict[Stale, str]] = {
    "endpoint-gone": "endpoint gone: the API does not list the endpoint for the service any more. kube-proxy"
    " never ends TCP connections; a running kube-proxy deletes UDP entries.",
    "not-by-rules": "not by today's rules: the node's rules would not send a new connection there.",
    "untranslated": "untranslated: no rule rewrote the destination when the flow began, and rules do not"
    " apply again while packets keep coming. conntrack -D -p udp --orig-dst ADDRESS on that node ends it.",
}
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def seconds_text(seconds: int | None) -> str:
    """``12 s``, ``5 min``, ``2 d 3 h``; ``?`` if not known."""
    if seconds is None:
        return "?"
    parts = []
    for size, unit in _UNITS:
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2]) or "0 s"


def connections_text(number: int) -> str:
    """``1 connection``, ``2,000 connections``."""
    return f"{number:,} connection{'' if number == 1 else 's'}"


def headline(answer: FlowsAnswer) -> str:
    """The first line: how many, to what, and how many are stale."""
    services = len({row.service for row in answer.rows if row.service is not None and row.connections})
    ends: dict[str, int] = {}
    for row in answer.rows:
        where = f"on {safe(row.endpoint.node)}" if row.endpoint.node else "outside the cluster's nodes"
        ends[where] = ends.get(where, 0) + row.connections
    text = connections_text(answer.connections)
    if services:
        text += f" to {services:,} service{'' if services == 1 else 's'}"
    shown = [f"{number:,} {where}" for where, number in sorted(ends.items()) if number]
    if shown:
        text += f", ending: {', '.join(shown)}"
    stale = sum(number for row in answer.rows for _, number in row.stale)
    return f"{text}; {stale:,} of them stale" if stale else text


def service_title(row: FlowsRow) -> str:
    """``default/web  port http 80/tcp``."""
    if row.service is None:
        return "not through a service of the API"
    named = f"  port {port_text(row.port)}" if row.port is not None else ""
    return safe("/".join(row.service)) + named


def counted_text(counted: Iterable[tuple[str, int]]) -> str:
    """``9 ESTABLISHED, 1 SYN_SENT``."""
    return ", ".join(f"{number:,} {safe(word)}" for word, number in counted)


def stale_text(counted: Iterable[tuple[str, int]]) -> str:
    """``9 endpoint gone``."""
    return ", ".join(f"{number:,} {STALE_NAMES[word]}" for word, number in counted)


def via_text(flow: Flow) -> str:
    """The way in, and the address."""
    place = f"{safe(flow.dst)}:{flow.dport}" if ":" not in flow.dst else f"[{safe(flow.dst)}]:{flow.dport}"
    return f"{VIA_NAMES[flow.via]} {place}" if flow.via is not None else place


def endpoint_text(row: FlowsRow | Flow) -> str:
    """``10.42.1.5:80, pod default/web-1 on node1``."""
    owner = backend_text(row.endpoint)
    return f"{safe(row.to)}, {owner}" if owner else safe(row.to)
