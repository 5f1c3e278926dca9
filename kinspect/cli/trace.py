"""``kinspect trace``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinspect.cli import complete, params
from kinspect.cli.output import emit
from kinspect.cli.shared_options import sourced
from kinspect.errors import CallError

if TYPE_CHECKING:
    from kinspect.model.packet import Packet
    from kinspect.model.rules import ChainName, TableName
    from kinspect.pipeline.gather.sources import Source


class ViaOption(str, Enum):
    """Ways into a service."""

    NODEPORT = "nodeport"
    CLUSTERIP = "clusterip"
    LOADBALANCER = "loadbalancer"
    EXTERNALIP = "externalip"
    ALL = "all"


class StateOption(str, Enum):
    """States of a connection."""

    NEW = "new"
    ESTABLISHED = "established"
    RELATED = "related"
    INVALID = "invalid"
    UNTRACKED = "untracked"


@sourced
def trace(
    source: Source,
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="TARGET",
            help="svc/NAME[:PORT], NAMESPACE/NAME, NAME, ADDRESS:PORT[/udp], or :NODEPORT.",
            autocompletion=complete.services,
        ),
    ] = None,
    via: Annotated[
        ViaOption | None,
        typer.Option("--via", help="The way in. [default: what the service's type is for]"),
    ] = None,
    sender: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SENDER",
            help="Who sends: node/NAME (a process on it), pod/NAME, pod/NAMESPACE/NAME, or an address.",
            autocompletion=complete.senders,
        ),
    ] = None,
    entry: Annotated[
        list[str],
        typer.Option(
            "--entry",
            metavar="NODE[=WEIGHT]",
            help="Nodes that the upstream balancer sends to. Repeatable.",
            autocompletion=complete.nodes,
        ),
    ] = [],  # noqa: B006 - typer reads it, nobody writes it
    packet: Annotated[
        str | None,
        typer.Option(
            "--packet",
            metavar="EXPR",
            help="A packet as a Scapy expression, such as IP(dst=…)/TCP(dport=80).",
        ),
    ] = None,
    pcap: Annotated[
        Path | None, typer.Option("--pcap", metavar="FILE", help="The packet comes from this capture.")
    ] = None,
    index: Annotated[
        int | None, typer.Option("--index", metavar="N", min=1, help="The N-th packet of the capture.")
    ] = None,
    iif: Annotated[
        str | None, typer.Option("--iif", metavar="NAME", help="The interface that the packet comes in by.")
    ] = None,
    local: Annotated[
        list[str],
        typer.Option(
            "--local", metavar="ADDR", help="An address of the host, where no snapshot tells. Repeatable."
        ),
    ] = [],  # noqa: B006
    ctstate: Annotated[
        StateOption | None,
        typer.Option(
            "--ctstate",
            help="The state of the connection. [default: new, or what a packet that opens none gets]",
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="TABLE:CHAIN", help="Begin at this chain, for a fragment of a dump."),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option("--table", metavar="TABLE", help="The table of a fragment that does not name it."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Every rule of the chains visited, and why it did or did not match."),
    ] = False,
    counters: Annotated[
        bool,
        typer.Option(
            "--counters", help="Also what the rules have counted: new connections to each endpoint so far."
        ),
    ] = False,
    write_pcap: Annotated[
        Path | None,
        typer.Option("--write-pcap", metavar="FILE", help="Write the packet as it enters and as it leaves."),
    ] = None,
    namespace: params.Namespace = None,
    node: params.Nodes = [],  # noqa: B006
    only4: params.Only4 = False,
    only6: params.Only6 = False,
    output: Annotated[str, params.output("Trace")] = "table",
    no_color: params.NoColor = False,
) -> None:
    """Follow a packet to a service, node by node, with exact shares.

    kinspect trace svc/test-service
    """
    from kinspect.model.packet import CtState
    from kinspect.parse.user.target import read_sender, read_target
    from kinspect.pipeline import trace as pipeline
    from kinspect.pipeline.trace import TraceRequest

    if sum(given is not None for given in (target, packet, pcap)) > 1:
        raise CallError("a TARGET, --packet and --pcap exclude each other", hint="give one of them")
    request = TraceRequest(
        target=read_target(target) if target is not None else None,
        packet=_packet(packet, pcap, index),
        namespace=namespace,
        via=via.value if via else None,
        entry=params.read_entries(entry),
        sender=read_sender(sender) if sender else None,
        iif=iif,
        local=params.read_addresses(local),
        state=CtState[ctstate.value.upper()] if ctstate else None,
        nodes=node,
        family=4 if only4 and not only6 else 6 if only6 and not only4 else None,
        start=_start(start),
        table=table,
        explain=explain,
        counters=counters,
    )
    answer = pipeline.trace(request, source)
    if write_pcap is not None:
        from kinspect.report.trace.pcap import write_pcap as write_capture

        write_capture(write_pcap, pipeline.packets(answer))
    beside = [*answer.undetermined, *answer.warnings]
    emit(answer, output, no_color=no_color, explain=explain, beside=beside)


def _packet(expression: str | None, pcap: Path | None, index: int | None) -> Packet | None:
    if expression is not None:
        from kinspect.parse.user.packet_text import packet_from_expression

        return packet_from_expression(expression)
    if pcap is not None:
        from kinspect.parse.user.pcap import packet_from_capture

        return packet_from_capture(pcap, index)
    if index is not None:
        raise CallError("--index is the number of a packet in a capture", hint="give --pcap FILE")
    return None


def _start(text: str | None) -> tuple[TableName | None, ChainName] | None:
    from kinspect.model import rules as names

    if text is None:
        return None
    table, colon, chain = text.partition(":")
    if not colon:
        return None, names.ChainName(table)
    if not table or not chain:
        raise CallError(f"cannot read --start {text!r}", hint="TABLE:CHAIN, such as nat:KUBE-SERVICES")
    return names.TableName(table), names.ChainName(chain)
