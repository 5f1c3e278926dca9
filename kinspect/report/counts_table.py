"""What rules counted for each endpoint, for people. Apart from ``counts``: documents need no tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from kinspect.model.counts import EndpointCount
from kinspect.report.counts import observed, port_name
from kinspect.report.words import bounded
from kinspect.sanitise import safe, safe_name

TEST: Final = "the exact binomial test"

_JUDGEMENTS: Final = {
    "chance": "chance",
    "more-than-chance": "more than chance",
    "within-bounds": "within the bounds",
    "not-tested": "not tested",
}


def counts_table(counts: Sequence[EndpointCount], *, rates: bool, wide: bool) -> Table:
    """A row an endpoint and node."""
    ports = {(port_name(count), count.family) for count in counts}
    headings = ["AT", *(["PORT"] if len(ports) > 1 else []), "GOES TO", *(["NOW"] if rates else [])]
    headings += ["CONNECTIONS", "OBSERVED", "SHARE", "DIFFERENCE", *(["P-VALUE"] if wide else [])]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("NOW", "CONNECTIONS") else "left")
    for count in counts:
        style = "bold red" if count.judgement == "more-than-chance" else ""
        cells = [Text(safe_name(count.node))]
        if len(ports) > 1:
            cells.append(Text(f"{safe(port_name(count) or '?')}{' IPv6' if count.family == 6 else ''}"))
        cells.append(_goes_to(count))
        if rates:
            cells.append(Text(rate_text(count.rate)))
        cells.append(Text("?" if count.connections is None else f"{count.connections:,}"))
        cells += [Text(observed_text(count), style=style), Text(bounded(count.share))]
        cells.append(Text(_JUDGEMENTS[count.judgement], style=style))
        if wide:
            cells.append(Text("" if count.chance is None else f"{count.chance:.2g}"))
        table.add_row(*cells)
    return table


def _goes_to(count: EndpointCount) -> Text:
    text = Text(safe(count.to))
    if count.backend is not None and count.backend.pod:
        where = f" on {safe_name(count.backend.node)}" if count.backend.node else ""
        text.append(f" {safe_name(count.backend.pod)}{where}", style="dim")
    return text


def rate_text(rate: float | None) -> str:
    """Connections a second."""
    return "-" if rate is None else f"{rate:.1f}/s"


def observed_text(count: EndpointCount) -> str:
    """The observed share, in percent."""
    share = observed(count)
    return "-" if share is None else f"{100 * share:.1f}%"
