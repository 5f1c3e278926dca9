"""The ways into services, by the address that a connection was opened to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from kinspect.model.answer import Via
from kinspect.model.cluster import Service, ServicePort
from kinspect.model.flows import ServiceKey

Place: TypeAlias = tuple[str, str, "int | None"]
"""Protocol in lower case, address in its shortest form, port."""


class Frontend(msgspec.Struct, frozen=True):
    """One way into one port of a service."""

    service: ServiceKey
    port: ServicePort
    via: Via


class Frontends:
    """Those of all services. A NodePort is one at every address of a node."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._fixed: dict[Place, Frontend] = {}
        self._node_ports: dict[tuple[str, int | None], Frontend] = {}
        for service in services:
            for port in service.ports:
                self._add(service, port)

    def _add(self, service: Service, port: ServicePort) -> None:
        protocol = port.protocol.lower()
        ways: tuple[tuple[Via, Iterable[object]], ...] = (
            ("clusterip", service.cluster_ips),
            ("loadbalancer", service.load_balancer_ips),
            ("externalip", service.external_ips),
        )
        for via, addresses in ways:
            for address in addresses:
                found = Frontend(service.key, port, via)
                self._fixed.setdefault((protocol, str(address), port.port), found)
        if port.node_port is not None:
            found = Frontend(service.key, port, "nodeport")
            self._node_ports.setdefault((protocol, port.node_port), found)

    def at(self, protocol: str, address: str, port: int | None) -> Frontend | None:
        """The way in that has the address for its own."""
        return self._fixed.get((protocol, address, port))

    def node_port(self, protocol: str, port: int | None) -> Frontend | None:
        """The NodePort of that number."""
        return self._node_ports.get((protocol, port))
