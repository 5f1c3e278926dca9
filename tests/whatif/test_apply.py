"""The API after a change: what the API server and the controllers make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from kinspect.model.changes import (
    AddPods,
    Apply,
    Change,
    Cordon,
    Delete,
    Drain,
    Relabel,
    Remove,
    SetField,
    Terminate,
    Unready,
)  # fmt: skip
from kinspect.model.whatif import Evicted, HintsKept, NotFromPods, Placeholder, Replaced, Unscheduled
from kinspect.parse.api.cluster import Cluster
from kinspect.snapshot.store import open_snapshot
from kinspect.whatif.apply import Changed, apply
from tests.clusters import DATA

API = dict(open_snapshot(DATA / "changes/before").api)
WEB = ("shop", "web")


def changed(*changes: Change, edit: dict[str, Callable[[dict[str, Any]], None]] | None = None) -> Changed:
    """The recorded API, perhaps edited first, after some changes."""
    api = dict(API)
    for kind, change in (edit or {}).items():
        listed = json.loads(api[f"{kind}.json"])
        for item in listed["items"]:
            change(item)
        api[f"{kind}.json"] = json.dumps(listed).encode()
    return apply(api, "the API", changes)


def endpoints(made: Changed, service: tuple[str, str] = WEB) -> dict[str, tuple[bool, bool, bool]]:
    """Ready, serving and terminating, by pod."""
    found = Cluster(made.api, "").endpoints(service)
    return {e.pod[1]: (e.ready, e.serving, e.terminating) for e in found if e.pod}


def found(made: Changed, kind: str, name: str) -> Any:
    return next(i for i in json.loads(made.api[f"{kind}.json"])["items"] if i["metadata"]["name"] == name)


def put(path: tuple[str, ...], value: Any) -> SetField:
    return SetField(WEB, ("spec", *path), value)


def only(name: str, change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    return lambda item: change(item) if item["metadata"]["name"] == name else None


def test_lists_that_nobody_changes_are_the_same_bytes() -> None:
    made = changed(Cordon("node2"))
    assert made.services == ()
    assert [name for name in API if made.api[name] is not API[name]] == ["nodes.json"]


def test_readiness_and_deletion_follow_the_pod() -> None:
    assert endpoints(changed(Unready(("shop", "web-1"))))["web-1"] == (False, False, False)
    assert endpoints(changed(Terminate(("shop", "web-1"))))["web-1"] == (False, True, True)
    assert endpoints(changed(Unready(("shop", "web-1")), Terminate(("shop", "web-1"))))["web-1"] == (
        False,
        False,
        True,
    )
    assert "web-1" not in endpoints(changed(Remove(("shop", "web-1"))))


def test_published_addresses_are_ready_whatever_their_pods_are() -> None:
    made = changed(
        put(("publishNotReadyAddresses",), True), Unready(("shop", "web-1")), Terminate(("shop", "web-2"))
    )
    assert endpoints(made)["web-1"] == (True, False, False)
    assert endpoints(made)["web-2"] == (True, True, True)
    assert endpoints(made, ("shop", "edge"))["web-1"] == (False, False, False)


def test_a_named_port_is_that_of_each_pod() -> None:
    made = changed(put(("ports", 0, "targetPort"), "other"))  # type: ignore[arg-type]
    assert endpoints(made) == {}  # no container has a port of that name
    number = changed(put(("ports", 0, "targetPort"), 1234))  # type: ignore[arg-type]
    assert {e.port for e in Cluster(number.api, "").endpoints(WEB)} == {1234}


def test_a_relabelled_node_moves_its_endpoints_and_their_hints_to_another_zone() -> None:
    zone = Relabel("node", ("", "node1"), {"topology.kubernetes.io/zone": "zone-c"})
    made = changed(put(("trafficDistribution",), "PreferSameZone"), zone)
    hints = {e.pod[1]: e.for_zones for e in Cluster(made.api, "").endpoints(WEB) if e.pod}
    assert (hints["web-1"], hints["web-3"]) == (("zone-c",), ("zone-b",))
    assert WEB in made.services


def test_hints_by_cpus_are_kept_and_said() -> None:
    auto = only(
        "web", lambda s: s["metadata"].update(annotations={"service.kubernetes.io/topology-mode": "Auto"})
    )
    made = changed(Remove(("shop", "web-1")), edit={"services": auto})
    assert HintsKept("shop/web") in made.consequences


def test_slices_that_the_pods_do_not_make_are_changed_by_name_only() -> None:
    def odd(item: dict[str, Any]) -> None:
        if item["metadata"]["name"].startswith("web-"):
            item["endpoints"][0]["addresses"] = ["10.99.9.9"]

    made = changed(Remove(("shop", "web-3")), edit={"endpointslices": odd})
    assert NotFromPods("shop/web") in made.consequences
    addresses = {str(e.address) for e in Cluster(made.api, "").endpoints(WEB)}
    assert "10.99.9.9" in addresses
    assert len(addresses) == 4


def test_a_drain_leaves_daemon_sets_and_static_pods_and_tells_who_is_replaced() -> None:
    def owned(pod: dict[str, Any]) -> None:
        kind = {"web-3": "ReplicaSet", "web-4": "Node"}.get(pod["metadata"]["name"])
        if kind:
            pod["metadata"]["ownerReferences"] = [{"kind": kind, "name": "x", "controller": True}]

    made = changed(Drain("node2"), edit={"pods": owned})
    (evicted,) = [each for each in made.consequences if isinstance(each, Evicted)]
    assert evicted.daemon_set == (("shop", "agent-2"),)
    assert evicted.static == (("shop", "web-4"),)
    assert evicted.replaced == (("shop", "web-3"),)
    assert ("shop", "web-5") in evicted.bare
    assert set(endpoints(made)) == {"web-1", "web-2", "web-4"}
    assert found(made, "nodes", "node2")["spec"]["unschedulable"] is True


def test_a_pod_of_a_controller_is_replaced_somewhere() -> None:
    owner = only(
        "web-3", lambda p: p["metadata"].update(ownerReferences=[{"kind": "ReplicaSet", "name": "web"}])
    )
    assert (
        Replaced(("shop", "web-3"), "ReplicaSet web")
        in changed(Remove(("shop", "web-3")), edit={"pods": owner}).consequences
    )


def test_added_pods_have_addresses_of_the_node_that_nobody_has() -> None:
    made = changed(AddPods(WEB, "node1", 2))
    placed = {each.value for each in made.consequences if isinstance(each, Placeholder)}
    assert len(placed) == 4  # of both families
    fresh = [state for pod, state in endpoints(made).items() if "-new" in pod]
    assert fresh == [(True, True, False)] * 2
    assert all(a.startswith(("10.42.19.", "fd00:42:19:")) for a in placed)


def test_the_api_server_fills_in_and_takes_away_what_belongs_to_the_type() -> None:
    local = changed(put(("type",), "LoadBalancer"), put(("externalTrafficPolicy",), "Local"))
    spec = found(local, "services", "web")["spec"]
    assert (spec["healthCheckNodePort"], spec["allocateLoadBalancerNodePorts"]) == (30000, True)
    back = changed(put(("type",), "LoadBalancer"), put(("type",), "ClusterIP"))
    spec = found(back, "services", "web")["spec"]
    assert "externalTrafficPolicy" not in spec
    assert "nodePort" not in spec["ports"][0]
    dual = found(changed(put(("ipFamilyPolicy",), "RequireDualStack")), "services", "web")["spec"]
    assert (dual["ipFamilies"], len(dual["clusterIPs"])) == (["IPv4", "IPv6"], 2)


def test_a_deleted_service_takes_its_slices_along() -> None:
    made = changed(Delete("service", WEB))
    assert endpoints(made) == {}
    assert made.services == (WEB,)


def test_a_manifest_is_merged_as_kubectl_apply_would() -> None:
    last = {"spec": {"selector": {"app": "web"}, "sessionAffinity": "ClientIP"}}
    note = {"kubectl.kubernetes.io/last-applied-configuration": json.dumps(last)}

    def before(service: dict[str, Any]) -> None:
        service["metadata"]["annotations"] = note
        service["spec"]["sessionAffinity"] = "ClientIP"

    manifest = {
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"selector": {"app": "api"}},
    }
    made = changed(Apply(manifest, "x.yaml"), edit={"services": only("web", before)})
    spec = found(made, "services", "web")["spec"]
    assert spec["selector"] == {"app": "api"}
    assert spec["sessionAffinity"] == "None"  # applied before, and no more
    assert spec["ports"][0]["nodePort"] == 31572  # never applied: it stays
    assert set(endpoints(made)) == {"api-1", "api-2"}


def test_a_pod_of_a_manifest_runs_where_it_says_or_nobody_knows_where() -> None:
    pod: dict[str, Any] = {
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {},
    }
    assert Unscheduled("shop/p") in changed(Apply(pod, "x")).consequences
    bound = {
        **pod,
        "spec": {"nodeName": "node1", "containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
    }
    assert endpoints(changed(Apply(bound, "x")))["p"] == (True, True, False)
