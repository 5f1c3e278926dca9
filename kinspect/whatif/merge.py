"""An object as ``kubectl apply`` merges it into the existing one.

Fields that were applied last, according to kubectl's annotation, and are no longer applied are removed;
the rest of the live object stays. The key of a Service's port is its number and protocol (patchMergeKey),
as for ports of containers; other lists are replaced whole.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from kinspect.whatif.objects import Object

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def merged(live: Object, applied: Mapping[str, Any]) -> Object:
    """The live object after the other was applied to it."""
    last: Any = None
    text = (live.get("metadata", {}).get("annotations") or {}).get(LAST_APPLIED)
    if isinstance(text, str):
        try:
            last = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError):
            last = None
    found = _merged(live, applied, last if isinstance(last, dict) else {})
    assert isinstance(found, dict)
    return found


def _merged(live: Any, applied: Any, last: Any) -> Any:
    if isinstance(applied, dict) and isinstance(live, dict):
        before = last if isinstance(last, dict) else {}
        found = {key: value for key, value in live.items() if key not in before or key in applied}
        for key, value in applied.items():
            if value is None:
                found.pop(key, None)
            elif key == "ports" and isinstance(value, list):
                found[key] = _ports(live.get(key), value, before.get(key))
            else:
                found[key] = _merged(live.get(key), value, before.get(key))
        return found
    return copy.deepcopy(applied)


def _ports(live: Any, applied: list[Any], last: Any) -> list[Any]:
    """Ports by number and protocol: the applied ones, and live ones that were never applied."""
    standing = {_port(p): p for p in live or () if isinstance(p, dict)}
    before = {_port(p): p for p in last or () if isinstance(p, dict)}
    wanted = {_port(p): p for p in applied if isinstance(p, dict)}
    others = [
        copy.deepcopy(p) for key, p in standing.items() if key not in wanted and key not in before and last
    ]
    return [_merged(standing.get(key, {}), p, before.get(key)) for key, p in wanted.items()] + others


def _port(port: Mapping[str, Any]) -> tuple[Any, Any]:
    return port.get("port", port.get("containerPort")), port.get("protocol") or "TCP"
