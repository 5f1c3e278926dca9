"""The table of all kinds of findings, by code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kinspect.checks.audit import empty, nodes, odd_one_out, rules, traffic
from kinspect.model.audit import Kind

KINDS: Final[Mapping[str, Kind]] = {
    kind.code: kind for family in (traffic, empty, odd_one_out, nodes, rules) for kind in family.KINDS
}
