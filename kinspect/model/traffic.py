"""Traffic to a service: who sends, by which way in, at which node, and what becomes of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from kinspect.model.answer import NodeTrace
from kinspect.model.cluster import Endpoint, Service

SenderClass = Literal["outside", "pod", "process"]


class Traffic(msgspec.Struct, frozen=True):
    """What one class of sources sends to a service at one node, by one way in: where it goes."""

    service: Service
    endpoints: tuple[Endpoint, ...]  # all that the API lists for the service, ready or not
    sources: SenderClass
    trace: NodeTrace
