"""A live cluster's API as the command line meets it: which permissions, which faults, which words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.run import kinspect
from tests.clusters import DATA
from tests.collect.replay import Fault, ReplayServer


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ReplayServer]:
    with ReplayServer(DATA / "zoo-nft", tmp_path) as server:
        yield server


# Nobody listens there: what is asked of nodes fails at once.
NODES = ("--ssh-target", "127.0.0.1", "--ssh-port", "1", "--ssh-option", "ConnectTimeout=1")


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        pytest.param(Fault(401), 3, "does not accept the credentials", id="not authenticated"),
        pytest.param(Fault(403, kind="services"), 3, "services", id="not permitted: the permission is named"),
        pytest.param(Fault(403, kind="nodes"), 3, "nodes", id="not permitted for nodes"),
        pytest.param(Fault(500), 3, "500", id="a server that fails"),
        pytest.param(Fault(how="drop"), 3, "", id="a connection that drops in the middle"),
        pytest.param(Fault(200, body=b"<html>login</html>"), 3, "", id="a proxy's page"),
    ],
)
def test_an_api_that_fails_gets_one_clear_line(api: ReplayServer, fault: Fault, code: int, says: str) -> None:
    api.faults.append(fault)
    ran = kinspect("trace", "shop/web", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert ran.code == code
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert says in ran.err
    assert "recorded-token" not in ran.err


def test_an_api_that_is_not_there(tmp_path: Path) -> None:
    with ReplayServer(None, tmp_path) as server:
        kubeconfig = server.kubeconfig
    ran = kinspect("trace", "svc/web", "--kubeconfig", str(kubeconfig), *NODES)
    assert ran.code == 3
    assert len(ran.err.splitlines()) == 1


def test_the_contexts_namespace_counts_and_n_goes_before_it(api: ReplayServer) -> None:
    ran = kinspect("trace", "svc/test-service", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert "there is no service shop/test-service" in ran.err
    assert "did you mean default/test-service?" in ran.err
    ran = kinspect("trace", "svc/test-service", "-n", "default", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert "there is no service" not in ran.err


def test_only_what_is_needed_is_asked_for_and_never_secrets(api: ReplayServer) -> None:
    kinspect("trace", "shop/web", "--kubeconfig", str(api.kubeconfig), *NODES)
    asked = {path.partition("?")[0] for path in api.paths}
    assert asked == {
        "/api/v1/nodes",
        "/api/v1/namespaces/shop/services/web",
        "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices",
    }


def test_an_address_needs_the_lists_of_all(api: ReplayServer) -> None:
    kinspect("trace", "10.43.95.193:80", "--kubeconfig", str(api.kubeconfig), *NODES)
    asked = {path.partition("?")[0] for path in api.paths}
    assert asked == {"/api/v1/nodes", "/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"}


def test_a_cluster_without_slices_is_asked_for_endpoints(api: ReplayServer) -> None:
    api.lists["endpointslices"] = []
    kinspect("trace", "shop/web", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert "/api/v1/namespaces/shop/endpoints/web" in {path.partition("?")[0] for path in api.paths}


def test_when_no_node_answers_each_is_named(api: ReplayServer) -> None:
    ran = kinspect("trace", "shop/web", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert ran.code == 3
    assert "kinspect: node1: connection refused" in ran.err
    assert "kinspect: node2: connection refused" in ran.err


def test_an_unknown_node_is_said_before_any_is_asked(api: ReplayServer) -> None:
    ran = kinspect("trace", "shop/web", "--node", "node9", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert (ran.code, ran.out) == (2, "")
    assert "there is no node node9" in ran.err


def test_check_reads_all_services_and_pods_and_a_node_that_does_not_answer_is_no_pass(
    api: ReplayServer,
) -> None:
    ran = kinspect("check", "in-sync", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert ran.code == 3
    assert ran.out.startswith("UNDETERMINED  in-sync: no violation found in 22 services")
    assert [line.split(":")[1].strip() for line in ran.err.splitlines()] == ["node1", "node2"]
    api.faults.append(Fault(403, kind="pods"))
    ran = kinspect("check", "in-sync", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert ran.code == 3
    assert "may not list pods" in ran.err
    # The API says that no node is drained: rules of nodes have no part in that.
    ran = kinspect("check", "drained", "--kubeconfig", str(api.kubeconfig), *NODES)
    assert ran.code == 0
    assert ran.out == "PASSED  drained: no node is drained, so there is nothing to check\n"
