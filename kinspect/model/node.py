"""One node as its files describe it: what packets meet there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from kinspect.model.host import Host
from kinspect.model.packet import Family
from kinspect.model.rules import Ruleset

DataPath = Literal["iptables", "ipvs", "nftables", "none", "unknown"]


@dataclass(frozen=True, slots=True)
class NodeState:
    """A node's host and rules.

    ``data_path`` is how the node's kube-proxy works, and ``proof`` the evidence for it. Only
    ``iptables`` can be traced. ``rulesets`` has a family's rules of each back end.
    """

    name: str
    host: Host
    rulesets: Mapping[Family, Sequence[Ruleset]]
    data_path: DataPath
    proof: str
    notes: tuple[str, ...] = ()
    proxy_answers: bool | None = None  # kube-proxy's status port; None: it was not asked

    @property
    def families(self) -> list[Family]:
        """The families whose rules were read."""
        return [family for family, rulesets in self.rulesets.items() if rulesets]
