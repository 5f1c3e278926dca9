"""All wording of answers: shares, remarks, notes. Nothing here decides; it only says."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from typing_extensions import assert_never

from kinspect.model.answer import (
    Bounds,
    Cordoned,
    Crossing,
    Died,
    EndedBy,
    EndedByPolicy,
    EndedByRouting,
    EndedByRule,
    FollowsOldPolicy,
    HintsKeep,
    Missing,
    NodeLabelled,
    NodeNameDiffers,
    NodeTrace,
    NoEndpoint,
    NoSuchPod,
    NoSuchService,
    NotServedHere,
    Outcome,
    Remark,
    SourceHidden,
    Stale,
    StaysLocal,
    Sticky,
    TakenByRule,
    Terminating,
    TraceAnswer,
    Via,
    WaysOut,
)  # fmt: skip
from kinspect.model.cause import NotServed
from kinspect.model.cluster import EndpointOwner, Service, ServicePort
from kinspect.model.packet import Packet, endpoint_text, protocol_name
from kinspect.model.rules import Verdict
from kinspect.model.trace import CONNECTION
from kinspect.sanitise import safe, safe_name

VIA_NAMES: Final[dict[Via, str]] = {
    "nodeport": "NodePort",
    "clusterip": "cluster IP",
    "loadbalancer": "load balancer",
    "externalip": "external IP",
    "packet": "packet",
}

_SMALL: Final = 100  # denominators that read well as they are
_NEAR: Final = Fraction(1, 100_000)  # early kube-proxy wrote probabilities of five digits


def share_text(share: Fraction) -> str:
    """``1/2``; ``≈1/3`` where only the kernel's 31 bits keep it from being that; else per cent."""
    if share.denominator <= _SMALL:
        return str(share)
    near = share.limit_denominator(_SMALL)
    if near and abs(near - share) < _NEAR:
        return f"≈{near}"
    return percent(share)


def percent(share: Fraction) -> str:
    """``12.5 %`` with as many digits as tell it from nothing and from all."""
    for digits in (0, 1, 2, 4):
        text = f"{float(share * 100):.{digits}f}"
        if abs(float(text) - float(share * 100)) < 0.005 and (share in (0, 1) or 0 < float(text) < 100):
            return f"{text} %"
    return f"{float(share * 100):.2g} %"


def bounded(bounds: Bounds) -> str:
    """A share, or its bounds where it is not known."""
    low, high = bounds
    if low == high == 1:
        return "all"
    return share_text(low) if low == high else f"{share_text(low)}…{share_text(high)}"


_SPOKEN: Final = {
    Fraction(1): "all",
    Fraction(1, 2): "half",
    Fraction(1, 3): "a third",
    Fraction(2, 3): "two thirds",
    Fraction(1, 4): "a quarter",
    Fraction(3, 4): "three quarters",
}


def spoken(bounds: Bounds) -> str:
    """A share within a sentence: ``half``, ``all``, ``up to a third``, ``5/8``."""
    low, high = bounds
    near = high.limit_denominator(_SMALL)
    text = _SPOKEN.get(near, share_text(high)) if abs(near - high) < _NEAR else share_text(high)
    if low == high:
        return text
    return f"up to {text}" if not low else f"between {share_text(low)} and {share_text(high)}"


def _begins(text: str) -> str:
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    shown = [safe_name(name) for name in names]
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} and {shown[-1]}"


def remark_text(remark: Remark) -> str:
    """A remark as a sentence or two."""
    match remark:
        case Crossing(entry, nodes, share, cause):
            way = "enters" if cause == "externalTrafficPolicy" else "is sent to the cluster IP"
            return (
                f"{_begins(spoken(share))} of what {way} at {safe_name(entry)} leaves for {listed(nodes)},"
                f" because {cause} is Cluster."
            )
        case StaysLocal(cause, without):
            text = f"Nothing crosses nodes: {cause} is Local, so each node keeps to its own endpoints."
            if without:
                has = "has none and drops" if len(without) == 1 else "have none and drop"
                text += f" {listed(without)} {has} what enters."
            return text
        case SourceHidden(None):
            return "The pods see an address of the node as the source, not the client's: it is masqueraded."
        case SourceHidden(nodes, crossing):
            where = listed(nodes or ())
            if crossing:
                return f"Of what enters at {where} some is masqueraded (the table shows which): those pods see the node's address, not the client's."
            return (
                f"What enters at {where} is masqueraded: the pods see the node's address, not the client's."
            )
        case Stale(node, via, to, share, backend, silent):
            now = f" (now {backend_text(backend)})" if backend and (backend.pod or backend.node) else ""
            return (
                f"{safe_name(node)} still sends {spoken(share)} of its {VIA_NAMES[via]} traffic to"
                f" {_some(to)}{now}, which the API does not list for this service: {_behind(silent)}"
            )
        case Missing(node, via, to, silent):
            what, them = ("a ready endpoint", "it") if len(to) == 1 else ("ready endpoints", "them")
            return (
                f"{safe_name(node)} sends nothing of its {VIA_NAMES[via]} traffic to {_some(to)}, {what},"
                f" because its rules do not have {them}: {_behind(silent)}"
            )
        case FollowsOldPolicy(nodes, via, follows):
            return (
                f"{listed(nodes)} still {'follows' if len(nodes) == 1 else 'follow'} traffic policy {follows} for"
                f" the {VIA_NAMES[via]}, which is not the service's any more: kube-proxy there is behind, or"
                " stopped (kinspect audit tells more)."
            )
        case TakenByRule(node, via, rule):
            what = f" ({safe(rule.source)}:{rule.line}: {safe(rule.text)})" if rule and rule.line else ""
            return (
                f"At {safe_name(node)} a rule that is not kube-proxy's takes the {VIA_NAMES[via]} traffic before"
                f" the service's rules{what}."
            )
        case HintsKeep(nodes):
            return (
                f"Topology hints (trafficDistribution) keep what enters at {listed(nodes)} on some of the"
                " endpoints, as the API says."
            )
        case NodeNameDiffers(node):
            return (
                f"kube-proxy of {safe_name(node)} has the node's own endpoint in its rules and takes it for another"
                " node's: its node name differs from the API's (--hostname-override)."
            )
        case NotServedHere(nodes, via, frontend, cause):
            return _not_served(nodes, via, frontend, cause)
        case NoSuchService(frontend, nodes):
            if nodes:
                return (
                    f"No service of the API has {safe(frontend)}, and the rules of {listed(nodes)} still take it:"
                    " the service was deleted or changed, and kube-proxy there is behind, or stopped."
                )
            return f"No service of the API has {safe(frontend)}: no rule of kube-proxy takes it."
        case NoSuchPod(to, node):
            return f"{safe(to)} is in the pod network of {safe_name(node)}, and no pod has it."
        case Cordoned(node, share, own_entry):
            name = safe_name(node)
            text = f"{name} is cordoned but still receives {spoken(share)} of the traffic: cordoning keeps new pods away, not traffic."
            if own_entry:
                return f"{text} It gets only what enters at {name} itself: take it out of the load balancer in front."
            return f"{text} kubectl drain {name} --ignore-daemonsets takes its pods out of the endpoints."
        case Died(nodes, via, verdict, share, by, ranges):
            did = (
                "dropped"
                if verdict is Verdict.DROP
                else "rejected"
                if verdict is Verdict.REJECT
                else "queued"
            )
            text = (
                f"{_begins(spoken(share))} of the {VIA_NAMES[via]} traffic at {listed(nodes)} is {did} in"
                f" {_ended_by(by)}."
            )
            if ranges:
                text += (
                    f" loadBalancerSourceRanges admits {listed(ranges)}: --from ADDRESS traces such a client."
                )
            return text
        case NodeLabelled(node, (key, value), (_, wanted)):
            return (
                f"{safe_name(node)} is labelled {safe(key)}={safe(value)}. That changes nothing here: the service's"
                f" selector, {safe(key)}={safe(wanted)}, asks for labels of pods, not of nodes."
            )
        case WaysOut(service, node, pod, key):
            space, name = map(safe_name, service)
            ways = [f"kubectl drain {safe_name(node)} --ignore-daemonsets"]
            if key is not None:
                ways.append(
                    f"kubectl label pod -n {safe_name(pod[0])} {safe_name(pod[1])} {safe(key)}- (its ReplicaSet then"
                    " starts another pod, perhaps on the same node)"
                )
            ways.append(
                f"kubectl patch svc -n {space} {name} -p"
                ' \'{"spec":{"externalTrafficPolicy":"Local"}}\' (each node then serves only its own pods, and'
                " drops what enters if it has none)"
            )
            return f"To keep traffic from a node: {', or '.join(ways)}."
        case NoEndpoint():
            return "The service has no endpoint that is ready: nothing can answer."
        case Terminating():
            return "All endpoints are terminating: Kubernetes sends to those that still serve, on purpose."
        case Sticky(seconds):
            return (
                f"Client affinity: these are a new client's shares; one that returns within {seconds} s stays with"
                " its endpoint."
            )
        case _:
            assert_never(remark)


def _ended_by(by: EndedBy | None) -> str:
    match by:
        case EndedByRule(table, chain, comment):
            return f"{safe(table)} {safe(chain)}{f' (“{safe(comment)}”)' if comment else ''}"
        case EndedByPolicy(table, chain):
            return f"the policy of {safe(table)} {safe(chain)}"
        case EndedByRouting(why):
            return f"routing: {safe(why)}"
        case None:
            return "no rule"
        case _:
            assert_never(by)


def _some(names: Sequence[str], most: int = 3) -> str:
    """``a, b and 7 more``."""
    if len(names) <= most + 1:
        return listed(names)
    return f"{', '.join(map(safe, names[:most]))} and {len(names) - most} more"


def _behind(silent: bool) -> str:
    if silent:
        return "its rules are older than the API, and kube-proxy's status port does not answer there."
    return "its rules are older than the API. Is its kube-proxy running?"


def _not_served(nodes: Sequence[str], via: Via, frontend: str, cause: NotServed) -> str:
    where, name = listed(nodes), VIA_NAMES[via]
    what = f"{name} {safe(frontend.rpartition(':')[2])}" if via == "nodeport" else f"{name} {safe(frontend)}"
    match cause.why:
        case "not-this-address":
            why = f"the rules have the NodePort, but not for the address {safe(cause.detail)} (see nodePortAddresses in kube-proxy's configuration)"
        case "empty-chain":
            why = f"the chain {safe(cause.detail)} is there and empty: it was flushed, or a restore failed half way"
        case "no-jump":
            why = f"nothing leads from {safe(cause.detail)} of nat to KUBE-SERVICES"
        case "untracked":
            why = "a NOTRACK rule keeps it out of nat, and the node does not have the address"
        case "unknown":
            why = "its rules do not have this frontend: kube-proxy there is behind, or stopped, or leaves it out"
        case _:
            assert_never(cause.why)
    return (
        f"{what} is not served at {where}: {why}. Packets keep the service's address and reach no endpoint."
    )


def backend_text(backend: EndpointOwner | None) -> str:
    """``pod default/web-1 on node1``, as far as it is known."""
    if backend is None:
        return ""
    parts = []
    if backend.pod:
        parts.append(f"pod {safe_name(backend.namespace or '')}/{safe_name(backend.pod)}")
    if backend.node:
        parts.append(f"on {safe_name(backend.node)}")
    return " ".join(parts)


def outcome_text(outcome: Outcome) -> str:
    """Where an outcome ends, in a few words."""
    if outcome.missing == CONNECTION:
        return "where its connection goes"
    if outcome.missing is not None:
        return safe(f"{outcome.missing}, not in this text")
    return safe(outcome.to) if outcome.to is not None else outcome.verdict.value


def packet_text(packet: Packet) -> str:
    """``203.0.113.1:40000 → 192.168.0.11:31000/tcp``."""
    src, dst = endpoint_text(packet.src, packet.sport), endpoint_text(packet.dst, packet.dport)
    return f"{src} → {dst}/{protocol_name(packet.protocol)}"


def port_text(port: ServicePort) -> str:
    """``http 80/tcp``."""
    return safe(f"{port.name + ' ' if port.name else ''}{port.port}/{port.protocol.lower()}")


def service_text(service: Service) -> str:
    """One line of what a service is."""
    parts = ["/".join(map(safe_name, service.key)), service.type]
    if service.cluster_ips:
        parts.append(" ".join(map(str, service.cluster_ips)))
    for port in service.ports:
        node_port = f" (NodePort {port.node_port})" if port.node_port else ""
        parts.append(f"{port_text(port)}{node_port}")
    if service.type != "ClusterIP" or service.external_ips:
        parts.append(f"externalTrafficPolicy {service.external_policy}")
    if service.internal_policy != "Cluster":
        parts.append(f"internalTrafficPolicy {service.internal_policy}")
    return safe(" · ".join(parts))


def endpoints_text(answer: TraceAnswer) -> str:
    """How many endpoints there are, and in which state."""
    # A pod is an endpoint once, however many ports and addresses it has.
    each = {endpoint.pod or endpoint.address: endpoint for endpoint in answer.endpoints}.values()
    ready = sum(endpoint.ready for endpoint in each)
    ending = sum(endpoint.terminating and not endpoint.ready for endpoint in each)
    other = len(each) - ready - ending
    parts = [f"{ready} ready endpoint{'' if ready == 1 else 's'}"]
    if ending:
        parts.append(f"{ending} terminating")
    if other > 0:
        parts.append(f"{other} not ready")
    return ", ".join(parts)


def note_lines(trace: NodeTrace) -> list[str]:
    """The notes of a trace, those on client affinity included."""
    return [safe(note) for note in trace.notes]
