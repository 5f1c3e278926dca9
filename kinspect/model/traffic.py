"""Traffic to a service: the sender, the way in, the node, and the result."""

from __future__ import annotations

from typing import Literal

import msgspec

from kinspect.model.answer import NodeTrace
from kinspect.model.cluster import Endpoint, Service

SenderClass = Literal["outside", "pod", "process"]


class Traffic(msgspec.Struct, frozen=True):
    """Traffic of one class of senders to a service at one node, by one way in, and where it goes."""

    service: Service
    endpoints: tuple[Endpoint, ...]  # all that the API lists for the service, ready or not
    sources: SenderClass
    trace: NodeTrace
