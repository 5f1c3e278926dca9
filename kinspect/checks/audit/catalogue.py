"""The table of all kinds of findings, by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kinspect.checks.audit import connections, no_endpoints, node_drift, nodes, rules, traffic, unowned
from kinspect.model.audit import FindingKind

_FAMILIES: Final = (traffic, unowned, no_endpoints, node_drift, nodes, rules, connections)
_EVERY: Final = [kind for family in _FAMILIES for kind in family.KINDS]

KINDS: Final[Mapping[str, FindingKind]] = {
    kind.code: kind for kind in sorted(_EVERY, key=lambda kind: kind.code)
}
