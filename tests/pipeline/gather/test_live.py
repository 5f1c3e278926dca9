"""A live cluster is read by a plan: the same lists for an answer and for keeping, other faults stop it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kinspect.collect.options import SshOptions
from kinspect.errors import ApiError, NotFound
from kinspect.pipeline.gather.live import Plan, needed, read_cluster
from kinspect.pipeline.gather.opened import opened
from kinspect.pipeline.gather.sources import Live, Wanted
from kinspect.snapshot.types import NodeName
from tests.clusters import DATA
from tests.collect.replay import Fault, ReplayServer

# Nobody listens there.
NOBODY = SshOptions(target="127.0.0.1", port=1, options=("ConnectTimeout=1",))


@pytest.fixture
def api(tmp_path: Path) -> Iterator[ReplayServer]:
    with ReplayServer(DATA / "zoo-nft", tmp_path) as server:
        yield server


def live(api: ReplayServer) -> Live:
    return Live(kubeconfig=str(api.kubeconfig), reach=NOBODY)


def test_a_snapshot_says_how_each_node_was_read(api: ReplayServer) -> None:
    snapshot, namespace = opened(live(api), Wanted(service=("default", "test-service")))
    assert namespace == "shop", "the context's"
    assert snapshot.manifest is not None
    record = snapshot.manifest.nodes["node1"]
    assert (record.transport, record.target) == ("ssh", "127.0.0.1")
    assert record.started is not None
    assert snapshot.failed[NodeName("node1")] == record.error
    assert snapshot.manifest.complete
    assert snapshot.manifest.finished >= snapshot.manifest.started


def test_an_answer_needs_each_list_and_what_is_kept_records_those_that_fail(api: ReplayServer) -> None:
    api.faults.append(Fault(403, kind="endpointslices"))
    with pytest.raises(ApiError, match="endpointslices"):
        read_cluster(live(api), Plan())
    reading = read_cluster(live(api), Plan(for_keeping=True))
    assert list(reading.failed_lists) == ["endpointslices"]
    assert reading.snapshot().lacking
    assert {"nodes.json", "services.json", "version.json"} == reading.api.keys()


def test_a_service_that_is_not_there_ends_both_before_any_node_is_asked(api: ReplayServer) -> None:
    for plan in (needed(Wanted(service=("shop", "wep"))), Plan(services=[("shop", "wep")], for_keeping=True)):
        with pytest.raises(NotFound, match="no service shop/wep") as caught:
            read_cluster(live(api), plan)
        assert "shop/web" in str(caught.value.hint)


def test_all_services_are_listed_only_to_name_what_is_near_one_that_is_not_there(api: ReplayServer) -> None:
    read_cluster(live(api), needed(Wanted(service=("shop", "web"))))
    assert "/api/v1/services" not in {path.partition("?")[0] for path in api.paths}
    with pytest.raises(NotFound):
        read_cluster(live(api), needed(Wanted(service=("shop", "wep"))))
    assert "/api/v1/services" in {path.partition("?")[0] for path in api.paths}


def test_endpoints_that_cannot_be_read_again_are_a_record_for_both(api: ReplayServer) -> None:
    def refuse(node: str, reason: str | None) -> None:
        api.faults.append(Fault(403, kind="endpointslices"))

    for plan in (Plan(), Plan(for_keeping=True)):
        api.faults.clear()
        reading = read_cluster(replace(live(api), progress=refuse), plan)
        assert list(reading.failed_lists) == ["endpointslices, read again"]
        assert not reading.changed


def test_an_interrupt_ends_an_answer_and_keeps_what_was_read_for_keeping(api: ReplayServer) -> None:
    def interrupt(node: str, reason: str | None) -> None:
        raise KeyboardInterrupt

    source = replace(live(api), progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        read_cluster(source, Plan())
    reading = read_cluster(source, Plan(for_keeping=True))
    assert reading.interrupted
    assert "endpointslices.json" in reading.api
    snapshot = reading.snapshot()
    assert snapshot.manifest is not None
    assert not snapshot.manifest.complete
    assert set(snapshot.failed) == {"node1", "node2"}
