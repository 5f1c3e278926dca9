"""What an audit finds: a kind with a stable code, and where it was seen."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from kinspect.errors import Status
from kinspect.model.cause import RuleReference
from kinspect.model.check import Problem, ServiceKey
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined
from kinspect.model.questions import Question


class Severity(str, enum.Enum):
    """How bad it is: traffic goes wrong, may go wrong, or is only worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


Fact = Literal[
    "way in", "ends", "endpoints", "outside source", "source", "routes", "rules", "counters", "node files"
]  # fmt: skip
"""What can decide whether something is found: the service, the port and how traffic enters; where packets
end and how many of them; the service's endpoints at the API; the address that packets from outside leave
with, or any packets; the node's routes; its rules as they are written; their counters; what else was read
of the node."""

ALL_FACTS: Final[frozenset[Fact]] = frozenset(get_args(Fact))


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingKind:
    """A kind of finding. ``means`` and ``todo`` are whole sentences; ``look`` are commands to see it by hand.

    ``settles``: a change under way looks the same, and is gone a moment later. ``depends`` is all that
    decides whether it is found: traffic that is the same in these is examined on one node only. A kind that
    does not say depends on everything, and is looked for on every node.
    """

    code: str
    title: str
    severity: Severity
    means: str
    todo: str
    look: tuple[str, ...] = ()
    settles: bool = False
    depends: frozenset[Fact] = ALL_FACTS
    root: bool = False  # other findings follow from it: it is shown first


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """A kind of finding as it was seen: of a service, or of nodes alone.

    ``problem`` or else ``text`` says what, without the nodes; ``ways`` by which ways in. With
    ``questions`` it is only possible; ``moved``: what it is about changed while it was read.
    """

    kind: FindingKind
    nodes: tuple[str, ...]
    text: str = ""
    problem: Problem | None = None
    service: ServiceKey | None = None
    ways: tuple[str, ...] = ()
    evidence: tuple[RuleReference, ...] = ()
    questions: tuple[Question, ...] = ()
    moved: bool = False

    @property
    def sure(self) -> bool:
        """Whether it is so: it depends on nothing that is not known, and did not change while it was read."""
        return not self.questions and not self.moved

    @property
    def severity(self) -> Severity:
        """That of its kind, but no error is made of what is not sure."""
        if not self.sure and self.kind.severity is Severity.ERROR:
            return Severity.WARNING
        return self.kind.severity


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditAnswer:
    """What ``kinspect audit`` answers, the worst first.

    ``observations`` are new, ``known`` are those that the user's baseline has. ``fail_on`` is the least
    severity of a new one that counts.
    """

    observations: tuple[Observation, ...]
    known: tuple[Observation, ...] = ()
    fail_on: Severity = Severity.ERROR
    kinds: tuple[FindingKind, ...]  # all that were looked for
    services: int
    nodes: tuple[str, ...]
    diagnostics: Diagnostics = NONE

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """What is not known and the answer depends on."""
        return self.diagnostics.undetermined

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is known but worth a warning."""
        return self.diagnostics.warnings

    def count(self, severity: Severity) -> int:
        """How many there are."""
        return sum(found.severity is severity for found in self.observations)

    @property
    def counting(self) -> tuple[Severity, ...]:
        """The severities that fail the audit."""
        order = tuple(Severity)
        return order[: order.index(self.fail_on) + 1]

    @property
    def status(self) -> Status:
        """A finding that counts goes before what is not known."""
        if any(found.sure and found.severity in self.counting for found in self.observations):
            return "violated"
        unsure = self.undetermined or any(not found.sure for found in self.observations)
        return "undetermined" if unsure else "answered"


def merged(observations: Sequence[Observation]) -> list[Observation]:
    """Those that say the same as one, with all nodes and ways that show it; the worst first."""
    found: dict[tuple[object, ...], list[Observation]] = {}
    for each in observations:
        found.setdefault((each.kind.code, each.service, each.text, each.problem, each.severity), []).append(
            each
        )
    together = [
        Observation(
            kind=same[0].kind,
            text=same[0].text,
            problem=same[0].problem,
            service=same[0].service,
            nodes=tuple(dict.fromkeys(node for each in same for node in each.nodes)),
            ways=tuple(dict.fromkeys(way for each in same for way in each.ways)),
            evidence=tuple(dict.fromkeys(rule for each in same for rule in each.evidence)),
            questions=tuple(dict.fromkeys(question for each in same for question in each.questions)),
            moved=same[0].moved,
        )
        for same in found.values()
    ]
    order = list(Severity)
    return sorted(
        together,
        key=lambda each: (order.index(each.severity), not each.kind.root, each.kind.code, each.service or ()),
    )
