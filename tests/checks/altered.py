"""A recorded cluster with one thing changed, in a folder of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.clusters import DATA


class Altered:
    """A copy of a recording; each method changes one thing of it."""

    def __init__(self, cluster: str, folder: Path) -> None:
        self.path = folder / cluster
        shutil.copytree(DATA / cluster, self.path)

    def __str__(self) -> str:
        return str(self.path)

    def rules(self, node: str, old: str, new: str) -> Altered:
        """Other text in a node's IPv4 rules."""
        file = self.path / "nodes" / node / "iptables-save.txt"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        return self

    def file(self, node: str, name: str, old: str, new: str) -> Altered:
        """Other text in one of a node's files."""
        file = self.path / "nodes" / node / name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        return self

    def written(self, node: str, name: str, text: str) -> Altered:
        """One of a node's files, whole."""
        (self.path / "nodes" / node / name).write_text(text)
        return self

    def without(self, path: str) -> Altered:
        target = self.path / path
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        return self

    def objects(self, kind: str, change: Callable[[list[Any]], object]) -> Altered:
        """Other objects of a kind."""
        file = self.path / "api" / f"{kind}.json"
        document = json.loads(file.read_text())
        change(document["items"])
        file.write_text(json.dumps(document))
        return self

    def each(self, kind: str, name: str, change: Callable[[Any], None]) -> Altered:
        """The objects whose names begin so, changed."""

        def changed(items: list[Any]) -> None:
            found = [item for item in items if item["metadata"]["name"].startswith(name)]
            assert found
            for item in found:
                change(item)

        return self.objects(kind, changed)

    def cordoned(self, name: str) -> Altered:
        return self.each("nodes", name, lambda node: node["spec"].update(unschedulable=True))


def named_otherwise(*names: str) -> Callable[[list[Any]], None]:
    """Leaves out the objects whose names begin with one of these."""

    def change(items: list[Any]) -> None:
        items[:] = [item for item in items if not item["metadata"]["name"].startswith(names)]

    return change


def of_daemon_set(pod: Any) -> None:
    pod["metadata"]["ownerReferences"] = [{"kind": "DaemonSet", "name": "agent", "apiVersion": "apps/v1"}]


def no_node(slice_: Any) -> None:
    """An EndpointSlice that does not say on which nodes its endpoints are."""
    for endpoint in slice_["endpoints"]:
        endpoint.pop("nodeName", None)
