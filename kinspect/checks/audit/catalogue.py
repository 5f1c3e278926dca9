"""The table of all kinds of findings, by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kinspect.checks.audit import connections, no_endpoints, node_drift, nodes, rules, traffic, unowned
from kinspect.model.audit import FindingKind

KINDS: Final[Mapping[str, FindingKind]] = {
    kind.code: kind
    for family in (traffic, unowned, no_endpoints, node_drift, nodes, rules, connections)
    for kind in family.KINDS
}
