"""A baseline of an audit: the findings that are known, so that CI fails for new ones only.

A finding is known by its code, its service, its nodes and its ways in. Lines, rules and shares are no part
of that: they change with every sync of kube-proxy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from kinspect.model.audit import Observation

Identity: TypeAlias = tuple[str, str, str, str]
"""A finding's code, service (``namespace/name``), one of its nodes, one of its ways in; "" for none."""


class KnownService(msgspec.Struct, frozen=True, kw_only=True):
    """The service of a known finding."""

    namespace: str
    name: str


class KnownFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A finding that is known, at each of these nodes and ways in."""

    code: Annotated[str, Meta(pattern="^KI[0-9]{3}$", description="kinspect explain CODE has a page on it.")]
    service: Annotated[KnownService | None, Meta(description="null: it is about nodes alone.")] = None
    nodes: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()

    def identities(self) -> Iterator[Identity]:
        """One for each node and way in."""
        service = f"{self.service.namespace}/{self.service.name}" if self.service else ""
        for node in self.nodes or ("",):
            for way in self.ways or ("",):
                yield self.code, service, node, way


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kinspect audit --write-baseline`` writes and ``--baseline`` reads."""

    api_version: Annotated[Literal["kinspect/v1"], Meta(description="The version of the format.")] = (
        msgspec.field(name="apiVersion", default="kinspect/v1")
    )
    kind: Literal["AuditBaseline"] = "AuditBaseline"
    findings: tuple[KnownFinding, ...] = ()

    def identities(self) -> frozenset[Identity]:
        """All that is known."""
        return frozenset(identity for known in self.findings for identity in known.identities())


def known_finding(found: Observation) -> KnownFinding:
    """What a baseline keeps of a finding."""
    service = KnownService(namespace=found.service[0], name=found.service[1]) if found.service else None
    return KnownFinding(
        code=found.kind.code,
        service=service,
        nodes=tuple(sorted(found.nodes)),
        ways=tuple(sorted(found.ways)),
    )


def baseline_of(observations: Sequence[Observation]) -> Baseline:
    """A baseline in which all of these are known, in a fixed order."""
    known = {known_finding(found) for found in observations}
    return Baseline(findings=tuple(sorted(known, key=lambda each: sorted(each.identities()))))
