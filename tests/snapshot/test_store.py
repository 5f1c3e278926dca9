"""Snapshots from folders and archives; archives are hostile until read."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest

from kinspect.errors import SnapshotError
from kinspect.snapshot.store import open_snapshot

DUMP = b"*nat\nCOMMIT\n"


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def archive(path: Path, members: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_a_folder_gives_api_and_nodes_and_unpacks_gz(tmp_path: Path) -> None:
    files = {
        "api/nodes.json": b"{}",
        "nodes/n1/iptables-save.txt.gz": gzip.compress(DUMP),
        "nodes/n1/ip-addr.json": b"[]",
        "observed.json": b"not of the snapshot",
    }
    snapshot = open_snapshot(folder(tmp_path, files))
    assert dict(snapshot.api) == {"nodes.json": b"{}"}
    assert {name: dict(files) for name, files in snapshot.nodes.items()} == {
        "n1": {"iptables-save.txt": DUMP, "ip-addr.json": b"[]"}
    }


def test_a_plain_file_goes_before_its_gz(tmp_path: Path) -> None:
    files = {"nodes/n1/a.txt": b"plain", "nodes/n1/a.txt.gz": gzip.compress(b"packed")}
    assert open_snapshot(folder(tmp_path, files)).nodes["n1"]["a.txt"] == b"plain"  # type: ignore[index]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("around", ["", "incident/", "./"])
def test_an_archive_gives_the_same_with_a_folder_around_or_not(
    tmp_path: Path, mode: str, around: str
) -> None:
    members = {
        f"{around}api/nodes.json": b"{}",
        f"{around}nodes/n1/iptables-save.txt.gz": gzip.compress(DUMP),
    }
    snapshot = open_snapshot(archive(tmp_path / "s.tar", members, mode))
    assert dict(snapshot.api) == {"nodes.json": b"{}"}
    assert dict(snapshot.nodes["n1"]) == {"iptables-save.txt": DUMP}  # type: ignore[index]


def test_only_half_of_a_snapshot_is_one(tmp_path: Path) -> None:
    assert not open_snapshot(folder(tmp_path / "a", {"nodes/n1/x": b""})).api
    assert not open_snapshot(folder(tmp_path / "b", {"api/nodes.json": b"{}"})).nodes


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "not a snapshot archive", id="an empty file"),
        pytest.param(b"hello", "not a snapshot archive", id="text"),
        pytest.param(gzip.compress(b"hello"), "not a snapshot archive", id="gzipped text"),
        pytest.param(b"\x1f\x8b" + b"\0" * 50, "not a snapshot archive", id="damaged gzip"),
    ],
)
def test_what_is_no_archive_is_an_error(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match=says):
        open_snapshot(path)


def test_an_archive_cut_short_is_an_error(tmp_path: Path) -> None:
    whole = archive(
        tmp_path / "s.tar.gz", {"api/nodes.json": b"{}" * 100_000, "nodes/n/x": bytes(range(256)) * 999}
    )
    whole.write_bytes(whole.read_bytes()[:-200])
    with pytest.raises(SnapshotError, match="cut short"):
        open_snapshot(whole)


def test_an_archive_of_something_else_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match="neither api/ nor nodes/"):
        open_snapshot(archive(tmp_path / "s.tar.gz", {"etc/passwd": b"root"}))


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kinspect.snapshot.tarball.LARGEST_FILE", 1 << 20)
    bomb = gzip.compress(b"\0" * (1 << 22))
    with pytest.raises(SnapshotError, match="unpacks to more than 1 MiB"):
        open_snapshot(folder(tmp_path / "f", {"api/nodes.json.gz": bomb})).api["nodes.json"]
    with pytest.raises(SnapshotError, match="unpacks to more than 1 MiB"):
        open_snapshot(archive(tmp_path / "s.tar", {"api/nodes.json.gz": bomb}))
    with pytest.raises(SnapshotError, match="too large"):
        open_snapshot(archive(tmp_path / "t.tar.gz", {"api/nodes.json": b"\0" * (1 << 22)}))


def test_a_damaged_gz_in_a_folder_names_the_file(tmp_path: Path) -> None:
    files = {"api/nodes.json.gz": gzip.compress(b"{}" * 999)[:-9]}
    with pytest.raises(SnapshotError, match=r"nodes\.json\.gz: the gzip data is damaged"):
        open_snapshot(folder(tmp_path, files)).api["nodes.json"]
