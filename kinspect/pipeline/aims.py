"""What ``--to`` and ``--through`` mean in one cluster: nodes, pods and addresses."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from typing_extensions import assert_never

from kinspect.errors import NotFound, Undetermined
from kinspect.model.check import Avoided, NoTrafficTo, ToAddress, ToNode, ToPod
from kinspect.model.packet import Address
from kinspect.parse.api.cluster import Cluster
from kinspect.pipeline.gather.read import Facts

DRAINED_TAINTS: Final = (
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/out-of-service",
    "ToBeDeletedByClusterAutoscaler",
    "karpenter.sh/disrupted",
)
"""Taints of nodes that are to go, or are gone: Kubernetes' own, Cluster Autoscaler's, Karpenter's."""


def meant(aims: Sequence[NoTrafficTo], facts: Facts, namespace: str) -> Avoided:
    """The nodes, pods and addresses that are meant. Raises NotFound: a slip must not pass."""
    cluster = facts.cluster
    nodes: set[str] = set()
    pods: set[tuple[str, str]] = set()
    addresses: set[Address] = set()
    for aim in aims:
        match aim:
            case ToNode(name):
                known = {*cluster.nodes, *facts.states}
                if name not in known:
                    raise NotFound(
                        f"there is no node {name}", hint=f"there are: {', '.join(sorted(known)[:20])}"
                    )
                nodes.add(name)
            case ToPod(name, space):
                key = (space or namespace, name)
                pod = cluster.pods.get(key)
                if pod is None and not cluster.has("pods"):
                    raise Undetermined(
                        f"pods were not read: the addresses of pod {key[0]}/{name} are not known",
                        hint="give its address in place of its name",
                    )
                if pod is None:
                    raise NotFound(
                        f"there is no pod {key[0]}/{name}", hint="of a pod that is gone, give the address"
                    )
                pods.add(key)
                addresses |= set() if pod.host_network else set(pod.addresses)
            case ToAddress(address):
                addresses.add(address)
            case _:
                assert_never(aim)
    return Avoided(frozenset(nodes), frozenset(pods), frozenset(addresses))


def drained_nodes(cluster: Cluster, taints: Collection[str] = ()) -> frozenset[str]:
    """The nodes that are drained: cordoned, or with a taint that says so, or one of ``taints``."""
    keys = {*DRAINED_TAINTS, *taints}
    return frozenset(
        node.name for node in cluster.nodes.values() if node.unschedulable or keys & set(node.taints)
    )
