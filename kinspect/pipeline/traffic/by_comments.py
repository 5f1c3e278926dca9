"""A service's packets without an API: its addresses come from the rules' comments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from ipaddress import ip_network

import msgspec

from kinspect.errors import CallError, NotFound
from kinspect.kubeproxy.frontends import Frontend, frontends, pod_network
from kinspect.model.node import NodeState
from kinspect.model.packet import Address, Family
from kinspect.parse.user.target import FromAddress, ServiceTarget
from kinspect.pipeline.traffic.probes import Prober, Probes, joined


def probes_by_comments(
    prober: Prober, target: ServiceTarget, namespace: str | None, via: str | None
) -> Probes:
    """The packets into a service that the nodes' rules name. Raises NotFound, CallError."""
    made: list[Probes] = []
    known: dict[str, list[Frontend]] = {}
    for name, state in prober.states.items():
        found = _of_service(state, target, namespace, prober.families)
        known[name] = found
        made += [_probes(prober, name, state, each, found) for each in _chosen(state, found, via)]
    every = list(dict.fromkeys(frontend for found in known.values() for frontend in found))
    if not every:
        raise NotFound(
            f"no comment of these rules names a service {target.name}",
            hint="kube-proxy's comments name services; or give an address: kinspect trace ADDRESS:PORT …",
        )
    services = dict.fromkeys(f"{each.namespace}/{each.service}" for each in every)
    if len(services) > 1:
        raise CallError(f"these rules name {' and '.join(services)}", hint="give NAMESPACE/NAME")
    if not made:
        raise CallError(
            f"{next(iter(services))} has {', '.join(map(str, every))} by these rules",
            hint="--local ADDRESS names an address of the host, to trace its NodePort; or another --via",
        )
    return joined(made)


def _of_service(
    state: NodeState, target: ServiceTarget, namespace: str | None, families: Iterable[Family]
) -> list[Frontend]:
    found: dict[Frontend, None] = {}
    for family in families:
        for rules in state.rulesets.get(family, ()):
            for frontend in frontends(rules, refusing=True):
                wanted = target.namespace or namespace
                if frontend.service != target.name or wanted not in (None, frontend.namespace):
                    continue
                if target.port in (None, frontend.port_name, str(frontend.port)):
                    found[frontend] = None
    return list(found)


def by_node_port(prober: Prober, port: int, protocol: int) -> Probes:
    """The packets to a NodePort, at nodes whose addresses are known. Raises CallError."""
    made = [
        prober.to_address(address, port, protocol, "packet", nodes=[name])
        for name, state in prober.states.items()
        for address in _addresses(state)
        if state.rulesets.get(4 if address.version == 4 else 6)
    ]
    if not made:
        raise CallError(f"no address of a node is known, to trace its port {port}", hint="--local ADDRESS")
    return joined(made)


def _chosen(state: NodeState, found: Sequence[Frontend], via: str | None) -> list[Frontend]:
    """The ways to trace: the requested ones, otherwise the NodePort if the host's addresses are known."""
    open_ways = [frontend for frontend in found if _reachable(state, frontend)]
    if via == "all":
        return open_ways
    if via is not None:
        return [frontend for frontend in open_ways if frontend.via == via]
    for way in ("loadbalancer", "nodeport", "clusterip", "externalip"):
        chosen = [frontend for frontend in open_ways if frontend.via == way]
        if chosen:
            return chosen
    return []


def _reachable(state: NodeState, frontend: Frontend) -> bool:
    return frontend.address is not None or bool(_addresses(state))


def _addresses(state: NodeState) -> list[Address]:
    """An address of the host for each family, if known."""
    own = sorted(state.host.addresses or (), key=lambda address: (address.version, int(address)))
    usable = [address for address in own if not address.is_loopback]
    return [next(a for a in usable if a.version == v) for v in (4, 6) if any(a.version == v for a in usable)]


def _probes(
    prober: Prober, name: str, state: NodeState, frontend: Frontend, known: Sequence[Frontend]
) -> Probes:
    """The packets of one way in at one node."""
    made = []
    note = f"{frontend.namespace}/{frontend.service}, by the rules' comments: {', '.join(map(str, known))}"
    for address in [frontend.address] if frontend.address is not None else _addresses(state):
        if address is None:
            continue
        family: Family = 4 if address.version == 4 else 6
        if not state.rulesets.get(family):
            continue
        own, notes = prober, [note]
        if frontend.via == "clusterip" and prober.sender is None:
            network = next(
                (found for rules in state.rulesets[family] if (found := pod_network(rules)) is not None), None
            )
            if network is not None:
                pods = ip_network(network)
                sender = pods[min(200, pods.num_addresses - 1)]
                own = replace(prober, sender=FromAddress(sender))
                notes.append(f"{sender} stands for a pod: the rules treat {network} as the pod network")
        made.append(own.to_address(address, frontend.port, frontend.protocol_number, "packet", nodes=[name]))
        made[-1] = Probes(
            tuple(msgspec.structs.replace(p, notes=(*p.notes, *notes)) for p in made[-1].probes),
            made[-1].diagnostics,
        )
    return joined(made)
