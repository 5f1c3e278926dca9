"""What rules counted for each endpoint, for documents."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from kinspect.model.counts import EndpointCount, Judgement
from kinspect.report.document import Endpoint, Share, TwoShares, endpoint
from kinspect.report.numbers import number


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
