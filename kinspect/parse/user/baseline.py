"""The file of ``audit --baseline``, read as data that anybody may have written."""

from __future__ import annotations

from typing import Final

import msgspec

from kinspect.errors import CallError
from kinspect.model.baseline import Baseline

_LARGEST: Final = 64 << 20  # bytes


def read_baseline(data: bytes, source: str) -> Baseline:
    """The findings that are known. Raises CallError: it is no baseline."""
    hint = "kinspect audit --write-baseline FILE writes one"
    if len(data) > _LARGEST:
        raise CallError(f"{source}: larger than {_LARGEST >> 20} MiB: that is no baseline", hint=hint)
    try:
        return msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CallError(f"{source}: is no baseline of an audit: {error}", hint=hint) from error
