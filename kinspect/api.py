"""The Python API: what ``import kinspect`` gives. Everything else in the package is private.

Requests and answers are frozen. Nothing is printed, and no process is started unless ``processes`` is
asked for. Every error is a ``KinspectError``: ``message`` says what is wrong and where; ``hint`` says what
to do about it on the command line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from kinspect.errors import (
    ApiError,
    CallError,
    KinspectError,
    NodeError,
    NotFound,
    RulesError,
    SnapshotError,
    Undetermined,
)
from kinspect.model.answer import NodeShare, NodeTrace, Outcome, TraceAnswer, Via
from kinspect.model.audit import AuditAnswer, Observation, Severity
from kinspect.model.check import (
    Assertion,
    Balanced,
    CheckAnswer,
    Claim,
    Finding,
    InSync,
    LocalOnly,
    NoTraffic,
    Reachable,
    Scope,
    ServicePattern,
    ToAddress,
    ToNode,
    ToPod,
)
from kinspect.model.codes import code_of
from kinspect.parse.user.target import read_sender, read_target
from kinspect.pipeline import audit as _audit
from kinspect.pipeline import check as _check
from kinspect.pipeline import trace as _trace
from kinspect.pipeline.audit import AuditRequest
from kinspect.pipeline.check import CheckRequest
from kinspect.pipeline.gather.opened import open_recorded
from kinspect.pipeline.gather.sources import Demo, Live, Opened, Recorded, Source
from kinspect.pipeline.processes import in_parallel
from kinspect.pipeline.trace import TraceRequest
from kinspect.report.formats import document, formats_of, kinds, render, schema


def load(path: str | Path, *, namespace: str = "default") -> Source:
    """A recorded snapshot, read from a folder or an archive. ``namespace`` is that of names without one.

    Raises SnapshotError.
    """
    return Opened(open_recorded(Recorded(Path(path))), namespace)


def demo() -> Source:
    """The snapshot that ships with kinspect."""
    return Opened(open_recorded(Demo()), "default")


def live(kubeconfig: str | None = None, context: str | None = None) -> Source:
    """A live cluster, by kubectl's rules for kubeconfig files, and its nodes over SSH.

    It is read anew by every question that is asked of it.
    """
    return Live(kubeconfig=kubeconfig, context=context)


def trace(
    target: str | TraceRequest,
    source: Source,
    *,
    via: Via | Literal["all"] | None = None,
    sender: str | None = None,
    nodes: Sequence[str] = (),
    explain: bool = False,
) -> TraceAnswer:
    """Where packets to a service go, by each way in and at each node.

    ``target``: ``svc/NAME[:PORT]``, ``NAMESPACE/NAME``, ``ADDRESS:PORT[/udp]``, ``:NODEPORT``; or a whole
    request, which leaves the other arguments out. ``sender``: ``node/NAME``, ``pod/NAMESPACE/NAME`` or an
    address. ``explain`` keeps every rule that was considered. Raises KinspectError.
    """
    if isinstance(target, TraceRequest):
        return _trace.trace(target, source)
    request = TraceRequest(
        target=read_target(target),
        via=via,
        sender=read_sender(sender) if sender else None,
        nodes=tuple(nodes),
        explain=explain,
    )
    return _trace.trace(request, source)


def check(
    claims: Claim | Sequence[Claim] | CheckRequest, source: Source, *, processes: bool = False
) -> CheckAnswer:
    """Whether claims hold of all traffic to all services; a request narrows them. Raises KinspectError.

    ``processes``: work on all cores, in forked processes.
    """
    if isinstance(claims, CheckRequest):
        request = claims
    else:
        every = claims if isinstance(claims, Sequence) else [claims]
        request = CheckRequest(assertions=[Assertion(name=code_of(c), claim=c) for c in every])
    with in_parallel() if processes else contextlib.nullcontext():
        return _check.check(request, source)


def audit(source: Source, request: AuditRequest | None = None, *, processes: bool = False) -> AuditAnswer:
    """All that is wrong with the paths to services. Raises KinspectError.

    ``processes``: work on all cores, in forked processes.
    """
    with in_parallel() if processes else contextlib.nullcontext():
        return _audit.audit(request or AuditRequest(), source)


__all__ = [
    "ApiError", "Assertion", "AuditAnswer", "AuditRequest", "Balanced", "CallError", "CheckAnswer",
    "CheckRequest", "Claim", "Finding", "InSync", "KinspectError", "LocalOnly", "NoTraffic",
    "NodeError", "NodeShare", "NodeTrace", "NotFound", "Observation", "Outcome", "Reachable",
    "RulesError", "Scope", "ServicePattern", "Severity", "SnapshotError", "Source", "ToAddress",
    "ToNode", "ToPod", "TraceAnswer", "TraceRequest", "Undetermined", "audit", "check", "demo",
    "document", "formats_of", "kinds", "live", "load", "render", "schema", "trace",
]  # fmt: skip
