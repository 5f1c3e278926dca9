"""The document of a trace: of each packet, where it ends, with what share, and by which rules."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from kinspect.model.answer import NodeShare, NodeTrace, Outcome, Remark, Total, TraceAnswer, Via
from kinspect.model.codes import code_of
from kinspect.model.diagnostics import Undetermined
from kinspect.model.packet import protocol_name
from kinspect.model.questions import Question
from kinspect.model.rules import UNKNOWN_SOURCE
from kinspect.model.trace import ChainPolicy, Considered, Event, Matched, Routed
from kinspect.report.counts import CountedEndpoint, counted_endpoint
from kinspect.report.document import (
    Document,
    Endpoint,
    NotExact,
    Probability,
    ServiceName,
    Share,
    TwoShares,
    endpoint,
    exit_code,
    opened,
    shares,
)
from kinspect.report.numbers import number
from kinspect.report.questions import open_question
from kinspect.report.words import note_lines, remark_text


class TracedService(ServiceName, kw_only=True):
    """The service that was traced."""

    type: str


class PacketFields(msgspec.Struct, kw_only=True):
    """The packet as it enters."""

    protocol: str
    src: str
    sport: int | None
    dst: str
    dport: int | None
    iif: Annotated[str | None, Meta(description="null: made on the node, or not known.")]


class RuleStep(msgspec.Struct, kw_only=True):
    """A rule that matched, a policy that decided, or a routing decision that ended it."""

    hook: str
    table: str | None
    chain: str | None
    line: Annotated[int | None, Meta(description="null: in no line of the text.")]
    rule: str


class TracedOutcome(msgspec.Struct, rename="camel", kw_only=True):
    """One end of a packet; outcomes of a trace differ in verdict, to or snat."""

    verdict: Literal["ACCEPT", "DROP", "REJECT", "QUEUE"]
    to: Annotated[str | None, Meta(description="Where it ends up, after every DNAT; null where it dies.")]
    dnat: bool
    snat: Annotated[
        str | None,
        Meta(description="The address it leaves with, if rewritten; masquerade: not known which."),
    ]
    source_known: Annotated[bool, Meta(description="Whether the address it leaves with is known.")]
    missing: Annotated[
        str | None,
        Meta(description="The rules that it goes to and that the text lacks: its end is not known."),
    ]
    probability: Probability
    exact: NotExact | UnsetType = UNSET
    share: Share
    bounds: TwoShares
    conditions: Annotated[list[str], Meta(description="What it depends on, where bounds differ.")]
    endpoint: Endpoint | None
    path: Annotated[list[RuleStep], Meta(description="The rules that matched, in order.")]
    ways: Annotated[int, Meta(description="How many ways lead to this end; path is the first.")]


class ConsideredRule(msgspec.Struct, kw_only=True):
    """A rule of a chain that was visited (--explain)."""

    hook: str
    table: str
    chain: str
    line: int | None
    rule: str
    matched: Annotated[bool | None, Meta(description="null: it depends.")]
    why: str


class TracedPacket(msgspec.Struct, kw_only=True):
    """One packet at one node."""

    node: str
    via: Via
    sender: str = msgspec.field(name="from")
    packet: PacketFields
    outcomes: list[TracedOutcome]
    notes: list[str]
    considered: list[ConsideredRule] | UnsetType = UNSET


class Destination(msgspec.Struct, kw_only=True):
    """The share of all traffic that ends on a node."""

    node: Annotated[str | None, Meta(description="null: on no node that is known.")]
    share: Share
    bounds: TwoShares


class Lost(msgspec.Struct, kw_only=True):
    """The share of traffic that ends at an entry node and reaches no endpoint."""

    node: str
    how: Annotated[
        Literal["dropped", "rejected", "not served"],
        Meta(description="not served: no rule of the node takes the frontend."),
    ]
    share: Share
    bounds: TwoShares


class TotalOfWay(msgspec.Struct, kw_only=True):
    """Where the traffic of one way in ends, under the weights of the entry nodes."""

    via: Via
    port: Annotated[str | None, Meta(description="The port's name, or its number.")]
    family: Literal[4, 6]
    destinations: list[Destination]
    lost: list[Lost]


class CodedRemark(msgspec.Struct, kw_only=True):
    """What is worth saying about the traces."""

    code: Annotated[str, Meta(description="One of those that kinspect explain lists.")]
    text: str


class TraceDocument(Document, kw_only=True):
    """The answer of kinspect trace."""

    kind: Literal["Trace"] = "Trace"
    service: TracedService | None
    traces: list[TracedPacket]
    destinations: Annotated[
        list[Destination], Meta(description="Empty if there are several totals: each has its own.")
    ]
    totals: list[TotalOfWay]
    remarks: list[CodedRemark]
    counters: Annotated[
        list[CountedEndpoint] | UnsetType,
        Meta(
            description="With --counters: what the rules counted by every way in since kube-proxy last wrote"
            " them; when that was is not known."
        ),
    ] = UNSET


def trace_document(answer: TraceAnswer) -> TraceDocument:
    """The document of an answer."""
    service = answer.service
    return TraceDocument(
        exit_code=exit_code(answer.status),
        undetermined=opened(open_facts(answer)),
        warnings=list(answer.warnings),
        service=TracedService(namespace=service.namespace, name=service.name, type=service.type)
        if service
        else None,
        traces=[_trace(trace) for trace in answer.traces],
        destinations=[_destination(end) for end in answer.destinations],
        totals=[_total(total) for total in answer.totals],
        remarks=[_remark(remark) for remark in answer.remarks],
        counters=UNSET if answer.counts is None else [counted_endpoint(count) for count in answer.counts],
    )


def _destination(end: NodeShare) -> Destination:
    return Destination(node=end.node, share=number(end.share), bounds=[number(end.share), number(end.most)])


def _total(total: Total) -> TotalOfWay:
    return TotalOfWay(
        via=total.via,
        port=(total.port.name or str(total.port.port)) if total.port else None,
        family=total.family,
        destinations=[_destination(end) for end in total.ends],
        lost=[
            Lost(
                node=lost.node,
                how=lost.how,
                share=number(lost.share),
                bounds=[number(lost.share), number(lost.most)],
            )
            for lost in total.lost
        ],
    )


def open_facts(answer: TraceAnswer) -> Iterator[Undetermined]:
    """All that is not known: what could not be read, and what outcomes depend on."""
    yield from answer.undetermined
    for trace in answer.traces:
        for outcome in trace.outcomes:
            for question in _conditions(outcome):
                yield open_question(question, trace.node)
            if outcome.missing is not None:
                yield Undetermined(text=f"{outcome.missing} is not in the text", node=trace.node)


def _conditions(outcome: Outcome) -> Sequence[Question]:
    return outcome.weight.questions() if outcome.weight.exact is None else ()


def _remark(remark: Remark) -> CodedRemark:
    return CodedRemark(code=code_of(remark), text=remark_text(remark))


def _trace(trace: NodeTrace) -> TracedPacket:
    packet = trace.packet
    considered = [_considered(entry) for entry in trace.evaluation.considered]
    return TracedPacket(
        node=trace.node,
        via=trace.via,
        sender=trace.origin,
        packet=PacketFields(
            protocol=protocol_name(packet.protocol),
            src=str(packet.src),
            sport=packet.sport,
            dst=str(packet.dst),
            dport=packet.dport,
            iif=packet.iif,
        ),
        outcomes=[_outcome(outcome) for outcome in trace.outcomes],
        notes=note_lines(trace),
        considered=considered or UNSET,
    )


def _outcome(outcome: Outcome) -> TracedOutcome:
    probability, exact, share, bounds = shares(outcome.bounds)
    events = outcome.ways[0].events()
    return TracedOutcome(
        verdict=outcome.verdict.value,
        to=outcome.to,
        dnat=outcome.dnat,
        snat=None if outcome.snat == UNKNOWN_SOURCE else outcome.snat,
        source_known=outcome.snat not in (UNKNOWN_SOURCE, "masquerade") and outcome.missing is None,
        missing=outcome.missing,
        probability=probability,
        exact=exact,
        share=share,
        bounds=bounds,
        conditions=[question.text for question in _conditions(outcome)],
        endpoint=endpoint(outcome.backend),
        path=[step for event in events if (step := _step(event)) is not None],
        ways=len(outcome.ways),
    )


def _step(event: Event) -> RuleStep | None:
    match event:
        case Matched(place, rule):
            return RuleStep(
                hook=place.hook, table=place.table, chain=rule.chain, line=_line(rule.line), rule=rule.text
            )
        case ChainPolicy(place, chain, verdict):
            policy = f"-P {chain} {verdict.value}"
            return RuleStep(hook=place.hook, table=place.table, chain=chain, line=None, rule=policy)
        case Routed(where, dropped):
            if not dropped:
                return None
            return RuleStep(hook="routing", table=None, chain=None, line=None, rule=where)


def _considered(entry: Considered) -> ConsideredRule:
    return ConsideredRule(
        hook=entry.place.hook,
        table=entry.place.table,
        chain=entry.rule.chain,
        line=_line(entry.rule.line),
        rule=entry.rule.text,
        matched=entry.held,
        why=entry.why,
    )


def _line(number: int) -> int | None:
    """A rule's line; None where no line of the text holds it."""
    return number if number > 0 else None
