"""The document of a reading of ``kinspect watch``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from kinspect.model.counts import NodeCondition, ReadingAnswer
from kinspect.report.counts import CountedEndpoint, counted_endpoint
from kinspect.report.document import Document, ServiceName, exit_code, opened


class ReadNode(msgspec.Struct, kw_only=True):
    """How a node was read."""

    node: str
    condition: Annotated[
        NodeCondition,
        Meta(
            description="first: counts begin here. reset: counters fell, so nothing of this interval counts."
            " rewritten: its rules changed, and counts begin anew. waiting: no reading yet since the last."
            " gone: it cannot be read."
        ),
    ]
    seconds: Annotated[float | None, Meta(description="Since the node's reading before; rates are of them.")]
    why: Annotated[str | None, Meta(description="Why it cannot be read.")]
    resets: Annotated[int, Meta(description="So far.")]
    rewrites: Annotated[int, Meta(description="So far.")]


class ReadingDocument(Document, kw_only=True):
    """One reading of kinspect watch."""

    kind: Literal["Reading"] = "Reading"
    reading: Annotated[int, Meta(description="Its number, from 1.")]
    time: Annotated[str, Meta(description="RFC 3339, UTC.")]
    elapsed: Annotated[float, Meta(description="Seconds since the watch began.")]
    service: ServiceName
    nodes: list[ReadNode]
    counters: Annotated[
        list[CountedEndpoint],
        Meta(description="connections: since the watch began, or since the node's rules last changed."),
    ]


def reading_document(answer: ReadingAnswer) -> ReadingDocument:
    """The document of a reading."""
    return ReadingDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened(answer.undetermined),
        warnings=list(answer.warnings),
        reading=answer.number,
        time=answer.time,
        elapsed=answer.elapsed,
        service=ServiceName(namespace=answer.service.namespace, name=answer.service.name),
        nodes=[
            ReadNode(
                node=each.node,
                condition=each.condition,
                seconds=each.seconds,
                why=each.why,
                resets=each.resets,
                rewrites=each.rewrites,
            )
            for each in answer.nodes
        ],
        counters=[counted_endpoint(count) for count in answer.counts],
    )
