"""All traffic to all services: every way in, from outside, from a pod and from a process on each node.

What ``check`` and ``audit`` look at. One packet represents a class of senders; a rule that treats
only some addresses of the class differently (a source range, an outside client other than OUTSIDE_CLIENT)
shows if the class's packet is among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from kinspect.kubeproxy.frontends import Frontend, Owned, as_service, frontends
from kinspect.model.answer import OUTSIDE
from kinspect.model.cluster import Endpoint, Service
from kinspect.model.diagnostics import NONE, Diagnostics, together
from kinspect.model.packet import Family
from kinspect.model.traffic import SenderClass, Traffic
from kinspect.pipeline.traffic.probes import VIAS, AnySender, Probe, Prober
from kinspect.pipeline.traffic.source_ranges import admitted_clients, from_client
from kinspect.pipeline.traffic.tracer import Tracer

_SENDERS: Final[tuple[tuple[SenderClass, AnySender | None], ...]] = (
    ("outside", None),
    ("pod", "pod"),
    ("process", "process"),
)


class PlannedProbe(msgspec.Struct, frozen=True):
    """Traffic of one class of senders to a service, not followed yet."""

    service: Service
    endpoints: tuple[Endpoint, ...]  # all that the API lists for the service, ready or not
    sources: SenderClass
    probe: Probe


class Survey:
    """The traffic to services at the nodes that a tracer has."""

    def __init__(self, tracer: Tracer, families: Sequence[Family] = (4, 6)) -> None:
        self._tracer = tracer
        self._families = families
        self._probers = [
            (kind, Prober(tracer.cluster, tracer.states, families=families, sender=sender))
            for kind, sender in _SENDERS
        ]

    def planned(self, service: Service) -> tuple[list[PlannedProbe], Diagnostics]:
        """All traffic to a service, and what cannot be sent.

        Services without rules (headless, ExternalName) have no traffic that a node sends anywhere.
        """
        if service.headless or service.type == "ExternalName":
            return [], NONE
        endpoints = self._tracer.cluster.endpoints(service.key)
        found: list[PlannedProbe] = []
        diagnostics: list[Diagnostics] = []
        for kind, prober in self._probers:
            ways = [via for via in VIAS if kind != "outside" or via in OUTSIDE]
            made = prober.of_service(service, ways, service.ports)
            diagnostics.append(made.diagnostics)
            found += [PlannedProbe(service, endpoints, kind, probe) for probe in made.probes]
        return found, together(diagnostics)

    def followed(self, planned: PlannedProbe, *, learn: bool = False) -> tuple[Traffic | None, Diagnostics]:
        """The followed traffic; None if it cannot be followed, with the reason.

        ``learn``: results for chains are kept for ``Tracer.ends``.
        """
        trace, diagnostics = self._tracer.follow(
            planned.probe, planned.endpoints, among_many=True, learn=learn
        )
        if trace is None:
            return None, diagnostics
        return Traffic(planned.service, planned.endpoints, planned.sources, trace), diagnostics

    def admitted(self, service: Service) -> tuple[list[Traffic], Diagnostics]:
        """Traffic of clients that loadBalancerSourceRanges admits to the load balancer's addresses."""
        found: list[Traffic] = []
        diagnostics: list[Diagnostics] = []
        for client in admitted_clients(service, self._families):
            made = from_client(self._tracer, service, client, self._families)
            diagnostics.append(made.diagnostics)
            endpoints = self._tracer.cluster.endpoints(service.key)
            for probe in made.probes:
                traffic, unknown = self.followed(PlannedProbe(service, endpoints, "outside", probe))
                diagnostics.append(unknown)
                if traffic is not None:
                    found.append(traffic)
        return found, together(diagnostics)

    def unowned(self, owned: Owned) -> tuple[list[PlannedProbe], Diagnostics]:
        """Traffic to frontends that nodes' rules know and no service of the API owns.

        The service was deleted, or lost the port or address: if kube-proxy is stopped, its rules still
        send there.
        """
        found: list[PlannedProbe] = []
        diagnostics: list[Diagnostics] = []
        for name, state in self._tracer.states.items():
            for family in self._families:
                for rules in state.rulesets[family]:
                    for frontend in frontends(rules):
                        if frontend not in owned:
                            planned, unknown = self._to_frontend(name, frontend, family)
                            found += planned
                            diagnostics.append(unknown)
        return found, together(diagnostics)

    def _to_frontend(
        self, node: str, frontend: Frontend, family: Family
    ) -> tuple[list[PlannedProbe], Diagnostics]:
        service = as_service(frontend)
        found: list[PlannedProbe] = []
        diagnostics: list[Diagnostics] = []
        for kind, prober in self._probers:
            if kind == "outside" and frontend.via not in OUTSIDE:
                continue
            made = prober.to_frontend(service, frontend.via, family, node)
            diagnostics.append(made.diagnostics)
            found += [PlannedProbe(service, (), kind, probe) for probe in made.probes]
        return found, together(diagnostics)

    def of(self, service: Service) -> tuple[list[Traffic], Diagnostics]:
        """All traffic to a service, followed, and what could not be."""
        planned, diagnostics = self.planned(service)
        parts = [diagnostics]
        found: list[Traffic] = []
        for each in planned:
            traffic, unknown = self.followed(each)
            parts.append(unknown)
            if traffic is not None:
                found.append(traffic)
        return found, together(parts)
