"""How rules differ: recorded ones from those that kube-proxy would write, or one state from another."""

from __future__ import annotations

import msgspec

from kinspect.errors import Status
from kinspect.model.changes import Key
from kinspect.model.cluster import Endpoint
from kinspect.model.diagnostics import NONE, Diagnostics, Undetermined
from kinspect.model.packet import Family
from kinspect.model.whatif import Inferred, ServiceEffect


class ChainDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One chain that is otherwise. ``service_port`` is what it is about; None: not one service alone.

    ``missing`` are rules that should be there, ``surplus`` those that should not. ``absent``: the
    chain is not there at all; ``left_over``: it should not be. ``order``: the rules are the same, in
    another order that matters.
    """

    table: str
    chain: str
    service_port: str | None = None
    missing: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()
    absent: bool = False
    left_over: bool = False
    order: bool = False


class RulesDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One dump of a node; without ``chains`` it is as it should be.

    ``services`` are those that the chains are about. ``changed``: the time of the last change of
    these, as the API has it (RFC 3339): unless others wrote them, the rules are older.
    """

    node: str
    family: Family
    source: str
    chains: tuple[ChainDrift, ...] = ()
    services: tuple[str, ...] = ()
    changed: str | None = None

    @property
    def missing(self) -> int:
        """How many rules are missing."""
        return sum(len(chain.missing) for chain in self.chains)

    @property
    def surplus(self) -> int:
        """How many rules are there that should not be."""
        return sum(len(chain.surplus) for chain in self.chains)


class ExpectedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kinspect diff --expected`` answers: each node's rules against kube-proxy's."""

    rules: tuple[RulesDrift, ...]
    inferred: tuple[Inferred, ...] = ()
    diagnostics: Diagnostics = NONE

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """What is not known and the answer depends on."""
        return self.diagnostics.undetermined

    @property
    def status(self) -> Status:
        """A difference that was found comes before what is not known."""
        if any(each.chains for each in self.rules):
            return "violated"
        return "undetermined" if self.undetermined else "answered"


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint of a service before and after; None: it was not, or is no longer, listed."""

    service: Key
    before: Endpoint | None
    after: Endpoint | None


class DiffAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kinspect diff BEFORE AFTER`` answers.

    In ``rules``, missing ones are new, surplus ones are gone.
    """

    before: str
    after: str
    effects: tuple[ServiceEffect, ...] = ()
    endpoints: tuple[EndpointChange, ...] = ()
    rules: tuple[RulesDrift, ...] = ()
    only_before: tuple[str, ...] = ()  # nodes
    only_after: tuple[str, ...] = ()
    diagnostics: Diagnostics = NONE

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """What is not known and the answer depends on."""
        return self.diagnostics.undetermined

    @property
    def status(self) -> Status:
        """Answered, or not wholly."""
        return "undetermined" if self.undetermined else "answered"


class NodeRules(msgspec.Struct, frozen=True, kw_only=True):
    """kube-proxy's rules of one family on a node, as iptables-save text."""

    node: str
    family: Family
    source: str  # the file, or how they were made
    text: str


class RulesAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What ``kinspect rules`` answers; ``expected``: the rules are as kube-proxy would write them now."""

    rules: tuple[NodeRules, ...]
    expected: bool = False
    diagnostics: Diagnostics = NONE

    @property
    def undetermined(self) -> tuple[Undetermined, ...]:
        """What is not known and the answer depends on."""
        return self.diagnostics.undetermined

    @property
    def status(self) -> Status:
        """Answered, or not wholly."""
        return "undetermined" if self.undetermined else "answered"
