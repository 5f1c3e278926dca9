"""The table of all kinds of findings, by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kinspect.checks.audit import (
    connections,
    hostports,
    marks,
    misprinted,
    no_endpoints,
    node_drift,
    nodes,
    own_addresses,
    rules,
    traffic,
    unowned,
)
from kinspect.model.audit import FindingKind

_FAMILIES: Final = (
    traffic,
    unowned,
    hostports,
    own_addresses,
    marks,
    no_endpoints,
    node_drift,
    nodes,
    rules,
    misprinted,
    connections,
)
_EVERY: Final = [kind for family in _FAMILIES for kind in family.KINDS]

KINDS: Final[Mapping[str, FindingKind]] = {
    kind.code: kind for kind in sorted(_EVERY, key=lambda kind: kind.code)
}
