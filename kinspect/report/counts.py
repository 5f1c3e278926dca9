"""What rules counted for each endpoint: in documents, and for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from rich.table import Table
from rich.text import Text

from kinspect.model.counts import EndpointCount, Judgement
from kinspect.report.document import Endpoint, Share, TwoShares, endpoint
from kinspect.report.numbers import number
from kinspect.report.words import bounded
from kinspect.sanitise import safe, safe_name

TEST: Final = "the exact binomial test"

_JUDGEMENTS: Final = {
    "chance": "chance",
    "more-than-chance": "more than chance",
    "within-bounds": "within the bounds",
    "not-tested": "not tested",
}


class CountedEndpoint(msgspec.Struct, rename="camel", kw_only=True):
    """New connections that one node's rules sent to one endpoint of a service port, by every way in."""

    node: str
    port: Annotated[str | None, Meta(description="The port's name, or its number.")]
    family: int
    to: str
    endpoint: Endpoint | None
    connections: Annotated[int | None, Meta(description="null: the rules that were read have no counters.")]
    observed: Annotated[
        Share | None,
        Meta(description="Of all that the node sent to the port's endpoints; null: there are none."),
    ]
    per_second: Annotated[float | None, Meta(description="Since the reading before; null: not known.")]
    share: Share
    bounds: TwoShares
    p_value: Annotated[
        float | None,
        Meta(description="The probability of a count at least so far from the share: exact binomial test,"
                         " twice the smaller tail. null: not tested."),
    ]  # fmt: skip
    judgement: Annotated[
        Judgement,
        Meta(
            description="more-than-chance: a p-value below 0.001, divided by the number of endpoints tested."
        ),
    ]


def counted_endpoint(count: EndpointCount) -> CountedEndpoint:
    """A count, for a document."""
    low, high = map(number, count.share)
    return CountedEndpoint(
        node=count.node,
        port=port_name(count),
        family=count.family,
        to=count.to,
        endpoint=endpoint(count.backend),
        connections=count.connections,
        observed=observed(count),
        per_second=count.rate,
        share=low,
        bounds=[low, high],
        p_value=count.chance,
        judgement=count.judgement,
    )


def observed(count: EndpointCount) -> float | None:
    """The share that an endpoint had of what was counted; None if nothing was."""
    return count.connections / count.drawn if count.connections is not None and count.drawn else None


def port_name(count: EndpointCount) -> str | None:
    """The name of a service port, or its number."""
    return (count.port.name or str(count.port.port)) if count.port else None


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
